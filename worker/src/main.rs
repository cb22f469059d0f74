//! The `docent` program.

fn main() -> std::process::ExitCode {
    docent::cli::main()
}
