//! See `pagent::command::zert`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pagent::command::zert::main()
}
