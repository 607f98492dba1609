//! zert
