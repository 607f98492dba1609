//! How the demonstration speaks: colour on a terminal, plain text in a pipe.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Instant;

/// Lines of a long output that are shown.
const SHOWN: usize = 60;

pub(super) struct Stage {
    colour: bool,
    started: Instant,
    held: u32,
    failed: Vec<String>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { colour: std::io::stdout().is_terminal(), started: Instant::now(), held: 0, failed: Vec::new() }
    }

    pub(super) fn title(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    pub(super) fn say(&self, text: &str) {
        println!("  {text}");
    }

    /// A command and what it printed.
    pub(super) fn shell(&self, at: &str, command: &str, output: &str) {
        println!("  {} {command}", self.paint("36", &format!("[{at}]$")));
        let lines: Vec<&str> = output.lines().collect();
        for line in lines.iter().take(SHOWN) {
            println!("      {line}");
        }
        if lines.len() > SHOWN {
            println!("      … {} lines more", lines.len() - SHOWN);
        }
    }

    /// A claim, and whether it holds.
    pub(super) fn check(&mut self, claim: &str, holds: bool) {
        if holds {
            self.held += 1;
            println!("  {} {claim}", self.paint("32", "ok"));
        } else {
            self.failed.push(claim.to_owned());
            println!("  {} {claim}", self.paint("31", "NOT SO:"));
        }
    }

    pub(super) fn finish(&self) -> ExitCode {
        let seconds = self.started.elapsed().as_secs_f32();
        if self.failed.is_empty() {
            println!("\n{} {} claims held, in {seconds:.1} s", self.paint("32", "done:"), self.held);
            return ExitCode::SUCCESS;
        }
        println!("\n{} {} claims held, these did not:", self.paint("31", "failed:"), self.held);
        for claim in &self.failed {
            println!("  {claim}");
        }
        ExitCode::FAILURE
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
