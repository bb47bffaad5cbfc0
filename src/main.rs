fn main() -> std::process::ExitCode {
    ffn::cli::main()
}
