//! The program itself, built beside its tests so that they find it.

fn main() -> std::process::ExitCode {
    docent::cli::main()
}
