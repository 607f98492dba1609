//! See `pagent::command::pasearch`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pagent::command::pasearch::main()
}
