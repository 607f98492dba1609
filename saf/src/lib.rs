//! saf
