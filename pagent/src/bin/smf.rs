//! See `pagent::command::smf`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pagent::command::smf::main()
}
