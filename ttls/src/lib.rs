//! ttls
