//! Ends a build for Windows at its beginning: the lab needs Unix signals and sockets, and would fail to compile after
//! its dependencies have been built.

#![allow(clippy::print_stdout, reason = "the output is read by cargo")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_CFG_WINDOWS").is_some() {
        println!(
            "cargo::error=threadlab runs on Linux. On Windows use Docker: `docker compose up --build --wait`"
        );
    }
}
