//! See `pagent::command::console`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pagent::command::console::main()
}
