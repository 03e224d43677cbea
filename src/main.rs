//! The program `latchkey`: parse, dispatch, exit status; nothing else.

use latchkey::alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> std::process::ExitCode {
    latchkey::cli::main()
}
