//! See `pagent::command::tso`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pagent::command::tso::main()
}
