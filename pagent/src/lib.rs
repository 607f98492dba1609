//! pagent
