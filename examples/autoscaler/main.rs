//! Compares two signals of a Kubernetes autoscaler on the same load: CPU time, and the threads that the load needs. The
//! load is simulated, so the result is the same on every machine.
//!
//! ```text
//! cargo run --example autoscaler
//! ```

mod model;

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn main() {
    println!("{}", model::table());
}
