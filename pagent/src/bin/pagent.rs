//! See `pagent::command::pagent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pagent::command::pagent::main()
}
