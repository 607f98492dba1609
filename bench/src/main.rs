//! What Pagent's TLS data plane costs, measured in the laboratory beside other people's proxies, and what zERT does. Start it with
//! `cargo xtask bench`; docs/performance.md has the method.

#![allow(clippy::print_stdout, reason = "the report goes to standard output")]

mod backend;
mod connection;
mod contestants;
mod forward;
mod load;
mod machine;
mod measure;
mod process;
mod report;
mod run;
mod scenario;
mod stage;
mod statistics;
mod tls;
mod zert;

use clap::{Parser, Subcommand};

/// What the TLS data plane costs, beside other people's proxies; `zert`: what observing costs
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Flags {
    #[command(flatten)]
    options: run::Options,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Other measurements; the programs around a proxy: this one again, on another host of the laboratory.
#[derive(Subcommand)]
enum Part {
    /// What zERT costs
    Zert(zert::Options),
    /// The other ends of what is measured of zERT
    #[command(hide = true)]
    OtherEnd {
        #[command(subcommand)]
        part: zert::Part,
    },
    /// Puts load on a proxy
    #[command(hide = true)]
    Load {
        /// What to do, JSON
        plan: String,
    },
    /// Is what a proxy forwards to
    #[command(hide = true)]
    Backend {
        /// What to be, JSON
        plan: String,
    },
    /// Forwards without TLS
    #[command(hide = true)]
    Forward {
        /// Where connections arrive
        address: std::net::SocketAddr,
        /// Where they go
        target: std::net::SocketAddr,
    },
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    match flags.part {
        None => run::run(&flags.options),
        Some(Part::Zert(options)) => zert::run(&options),
        Some(Part::OtherEnd { part }) => zert::part(&part),
        Some(Part::Load { plan }) => load::run(&serde_json::from_str(&plan)?),
        Some(Part::Backend { plan }) => backend::run(&serde_json::from_str(&plan)?),
        Some(Part::Forward { address, target }) => forward::run(address, target),
    }
}
