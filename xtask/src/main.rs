//! The project's own tasks: `cargo xtask quickstart`, `test`, `e2e`, `soak`, `bench`, `reference`, `fuzz`.

#![allow(clippy::print_stdout, reason = "a task says what it does")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};

/// Programs the demonstration uses, and their Debian packages.
const PROGRAMS: [(&str, &str); 9] = [
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("tshark", "tshark"),
    ("dumpcap", "tshark"),
    ("newuidmap", "uidmap"),
    ("setpriv", "util-linux"),
];
/// What the tests use beside them.
const TEST_PROGRAMS: [(&str, &str); 13] = [
    ("sslscan", "sslscan"),
    ("sqlite3", "sqlite3"),
    ("chromium", "chromium"),
    ("certutil", "libnss3-tools"),
    ("gnutls-cli", "gnutls-bin"), // with gnutls-serv
    ("psql", "postgresql-client"),
    ("pgbench", "postgresql"), // with the server
    ("vsftpd", "vsftpd"),
    ("iptables", "iptables"),     // what `Hold On` needs
    ("dropbear", "dropbear-bin"), // an SSH server that is no service
    ("g++", "g++"),               // libFuzzer, for the fuzz targets
    ("cmake", "cmake"),           // the FIPS 140-3 module
    ("go", "golang-go"),
];
/// What Debian's python3 must be able to import, and the packages that bring it.
const PYTHON: &str = "import pyftpdlib.handlers, OpenSSL, ensurepip";
const PYTHON_PACKAGES: [&str; 4] = ["python3", "python3-pyftpdlib", "python3-openssl", "python3-venv"];
/// CycloneDX's own validator, which Debian does not have.
const VALIDATOR: &str = "cyclonedx-python-lib[json-validation]==11.12.0";
const VALIDATOR_FOLDER: &str = "target/cyclonedx";

/// The project's own tasks.
#[derive(Parser)]
struct Flags {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what is missing (as root, through apt), builds, and runs the demonstration
    Quickstart,
    /// Everything CI runs: formatting, lints, documentation, all tests, the laboratory
    Test,
    /// Writes the generated pages: docs/policy-reference.md and the table in docs/limits.md
    Reference,
    /// Fuzzes a target of fuzz/targets for some seconds
    Fuzz {
        /// policy, format, assist, capture, connection, records or xfrm
        target: String,
        /// How long
        seconds: u32,
    },
    /// The tests of the build with the FIPS 140-3 module
    Fips,
    /// Mixed load on the release build while policies and keys change, and ten thousand idle connections
    Soak {
        /// How long the load lasts
        #[arg(long, default_value_t = 20)]
        minutes: u32,
    },
    /// The end-to-end tests alone; further words go to the test program
    E2e {
        /// Test names and flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Measures the TLS data plane beside other people's proxies, those that are installed; docs/performance.md
    #[command(disable_help_flag = true)]
    Bench {
        /// The benchmark's own flags; --help tells them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the project")?.to_owned();
    std::env::set_current_dir(&root)?;
    match Flags::parse().task {
        Task::Quickstart => quickstart(),
        Task::Test => test(),
        Task::Reference => reference(true),
        Task::Fuzz { target, seconds } => fuzz(&target, seconds),
        Task::E2e { words } => {
            install_for_tests()?;
            e2e(&words)
        }
        Task::Soak { minutes } => {
            install_for_tests()?;
            let mut command = laboratory(&["--release"])?;
            command.args(["idle::", "soak::", "--nocapture", "--test-threads", "1"]);
            run(command.env("PAGENT_SOAK_MINUTES", minutes.to_string()))
        }
        Task::Fips => {
            install_for_tests()?;
            fips()
        }
        Task::Bench { words } => bench(&words),
    }
}

fn quickstart() -> anyhow::Result<()> {
    install_what_is_missing(&PROGRAMS)?;
    step("build");
    cargo(&["build", "--package", "pagent"])?;
    step("the demonstration");
    run(Command::new(built("pagent")?).arg("demo"))
}

fn test() -> anyhow::Result<()> {
    install_for_tests()?;
    step("formatting");
    cargo(&["fmt", "--all", "--check"])?;
    step("build");
    cargo(&["build", "--workspace", "--all-targets"])?;
    step("lints");
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    step("documentation");
    let mut documentation = Command::new(cargo_program());
    run(documentation.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    step("structure and generated pages");
    tidy()?;
    reference(false)?;
    step("fuzz targets");
    cargo(&["clippy", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz", "--", "-D", "warnings"])?;
    step("unit, property and snapshot tests");
    cargo(&["test", "--workspace", "--exclude", "tests"])?;
    step("end-to-end tests");
    e2e(&[])?;
    step("the build with the FIPS 140-3 module");
    fips()
}

/// The tests of the build with the FIPS 140-3 module.
fn fips() -> anyhow::Result<()> {
    cargo(&["test", "--package", "ttls", "--features", "fips", "--lib", "fips"])?;
    e2e_of(&["--features", "fips"], &["fips".to_owned()])
}

/// The end-to-end tests, inside namespaces of their own.
fn e2e(words: &[String]) -> anyhow::Result<()> {
    cargo(&["build", "--package", "bench"])?;
    e2e_of(&[], words)
}

/// The same of a build with these flags.
fn e2e_of(flags: &[&str], words: &[String]) -> anyhow::Result<()> {
    run(laboratory(flags)?.args(words))
}

/// Builds the end-to-end tests and what they test with these flags, and gives the command that runs them.
fn laboratory(flags: &[&str]) -> anyhow::Result<Command> {
    cargo(&[&["build", "--package", "pagent"], flags].concat())?;
    let output = Command::new(cargo_program())
        .args(["test", "--package", "tests", "--test", "e2e", "--no-run", "--message-format", "json"])
        .args(flags)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("the end-to-end tests do not build");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let program = text
        .lines()
        .filter_map(|line| line.split("\"executable\":\"").nth(1)?.split('"').next())
        .next_back()
        .context("cargo names no test program")?;
    // The namespaces are made by the program under test itself: one way in for demonstration and tests.
    let folder = Path::new(program).ancestors().nth(2).context("the tests lie nowhere")?;
    let mut command = Command::new(folder.join("pagent"));
    command.args(["lab", program]);
    Ok(command)
}

/// The benchmark, of a release build and inside namespaces of its own.
fn bench(words: &[String]) -> anyhow::Result<()> {
    install_what_is_missing(&PROGRAMS)?;
    cargo(&["build", "--release", "--package", "pagent", "--package", "bench"])?;
    run(Command::new("target/release/pagent").args(["lab", "target/release/bench"]).args(words))
}

/// Fuzzes a target. The coverage instrumentation is asked for by hand, so that the stable compiler will do.
fn fuzz(target: &str, seconds: u32) -> anyhow::Result<()> {
    const INSTRUMENTED: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
         -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
         -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
    install_for_tests()?;
    let corpus = format!("target/fuzz/corpus/{target}");
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all("target/fuzz/artifacts")?;
    // A target of its own keeps build scripts free of the instrumentation.
    let mut command = Command::new(cargo_program());
    command.args(["run", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"]);
    command.args(["--target", "x86_64-unknown-linux-gnu", "--bin", target, "--"]);
    command.arg(&corpus);
    match target {
        "capture" => {
            command.arg("zert/tests/captures");
        }
        "connection" | "records" | "xfrm" => {}
        _ => {
            command.args(["policies/tests/samples/good", "policies/tests/samples/bad", "policies/tests/samples/lint"]);
            command.arg("-dict=fuzz/policy.dict");
        }
    }
    command.args([&format!("-max_total_time={seconds}"), "-max_len=8192", "-timeout=20", "-rss_limit_mb=4096"]);
    command.args(["-artifact_prefix=target/fuzz/artifacts/", "-print_final_stats=1"]);
    run(command.env("RUSTFLAGS", INSTRUMENTED))
}

/// Writes the generated pages, or says which is not up to date.
fn reference(write: bool) -> anyhow::Result<()> {
    const BEGIN: &str = "<!-- begin: cargo xtask reference -->\n";
    const END: &str = "<!-- end -->";
    let limits = std::fs::read_to_string("docs/limits.md").context("docs/limits.md")?;
    let (before, rest) = limits.split_once(BEGIN).context("docs/limits.md has no place for the table")?;
    let (_, after) = rest.split_once(END).context("docs/limits.md has no end of the table")?;
    let limits = format!("{before}{BEGIN}{}{END}{after}", policies::reference::limits());
    for (path, text) in [("docs/policy-reference.md", policies::reference::page()), ("docs/limits.md", limits)] {
        let there = std::fs::read_to_string(path).unwrap_or_default();
        if there == text {
            continue;
        }
        if !write {
            bail!("{path} is not up to date; run `cargo xtask reference`");
        }
        std::fs::write(path, text).with_context(|| path.to_owned())?;
        println!("{path} written");
    }
    Ok(())
}

/// Compares ARCHITECTURE.md's paragraph on dependencies with the manifests.
fn tidy() -> anyhow::Result<()> {
    let text = std::fs::read_to_string("ARCHITECTURE.md").context("ARCHITECTURE.md")?;
    let mut stated = Vec::new();
    for line in text.lines() {
        if let Some((name, below)) = line.strip_prefix("    ").and_then(|line| line.split_once(" -> ")) {
            let mut below: Vec<String> = below.split(", ").map(|name| name.trim().to_owned()).collect();
            below.sort();
            stated.push((name.trim().to_owned(), below));
        }
    }
    if stated.is_empty() {
        bail!("ARCHITECTURE.md states no dependencies (lines `    crate -> crate, crate`)");
    }
    let members: Vec<&str> = stated.iter().map(|(name, _)| name.as_str()).collect();
    for (name, below) in &stated {
        let manifest = std::fs::read_to_string(format!("{name}/Cargo.toml")).with_context(|| name.clone())?;
        let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        let mut found: Vec<String> = section
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|dependency| members.contains(dependency) || *dependency == "smf" || *dependency == "policies")
            .map(str::to_owned)
            .collect();
        found.sort();
        let below: Vec<String> = below.iter().filter(|name| *name != "nothing of ours").cloned().collect();
        if found != below {
            bail!("{name} depends on {found:?}, ARCHITECTURE.md says {below:?}");
        }
    }
    Ok(())
}

fn install_for_tests() -> anyhow::Result<()> {
    install_what_is_missing(&[&PROGRAMS[..], &TEST_PROGRAMS].concat())?;
    install_validator()
}

/// CycloneDX's schema and what reads it, from PyPI into a folder of its own.
fn install_validator() -> anyhow::Result<()> {
    let python = Path::new(VALIDATOR_FOLDER).join("bin/python3");
    let imports = Command::new(&python).args(["-c", "import cyclonedx.validation.json, jsonschema"]).output();
    if imports.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    step("installing CycloneDX's validator");
    run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear", VALIDATOR_FOLDER]))?;
    run(Command::new(python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", VALIDATOR]))
}

/// Installs the packages of programs, and Python's modules.
fn install_what_is_missing(programs: &[(&str, &'static str)]) -> anyhow::Result<()> {
    let mut packages: Vec<&str> =
        programs.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect();
    let imports = Command::new("/usr/bin/python3").args(["-c", PYTHON]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        packages.extend(PYTHON_PACKAGES);
    }
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !is_root {
        bail!("not installed: {0}. As root: apt-get install {0}", packages.join(" "));
    }
    step(&format!("installing {}", packages.join(" ")));
    run(Command::new("apt-get").arg("update"))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(&packages);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    // Debian keeps PostgreSQL's programs apart, by version.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = folders.chain(versions.map(|version| version.path().join("bin")));
    folders.map(|folder| folder.join(program)).any(|file| file.is_file())
}

/// A program of this project, built.
fn built(name: &str) -> anyhow::Result<PathBuf> {
    // This program lies in the same folder.
    let own = std::env::current_exe()?;
    Ok(own.with_file_name(name))
}

fn cargo(words: &[&str]) -> anyhow::Result<()> {
    run(Command::new(cargo_program()).args(words))
}

fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn step(what: &str) {
    println!("== {what}");
}
