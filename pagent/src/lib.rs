//! The Policy Agent: the daemon, its control API, and the commands.
//!
//! This crate wires the others and prints; it decides nothing about TLS, profiles or bytes.

mod client;
mod clients;
pub mod command;
mod configuration;
mod control;
mod daemon;
mod history;
pub mod lab;
mod logging;
mod lsp;
mod policy_files;
mod report;
mod resources;
mod smf_file;
mod ssh_guard;
mod takeover;
