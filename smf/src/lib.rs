//! smf
