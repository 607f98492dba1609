//! What protects a connection, from its bytes: real captures, made-up handshakes, hostile bytes.

#![allow(clippy::indexing_slicing, reason = "an index out of range fails the test")]

mod captures;
mod dialogues;
mod hostile;
mod judgement;
mod prefixes;
mod segments;
mod support;
