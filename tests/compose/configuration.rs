//! The configuration files, by the programs that read them.

use crate::stack::Stack;

pub fn every_configuration_file_is_valid() {
    let stack = Stack::named("config");
    let check = |service, program, arguments: &[&str]| {
        let run = ["run", "--rm", "--no-deps", "-T", "--entrypoint", program];
        stack.compose(&[&run[..], &[service], arguments].concat());
    };
    check("nginx", "sh", &["/etc/nginx/start.sh", "-t"]);
    for command in [
        "promtool check config /etc/prometheus/prometheus.yml",
        "promtool check rules /etc/prometheus/rules/*.yml",
        // Its temporary files need a writable directory in the read-only container.
        "TMPDIR=/prometheus promtool test rules /etc/prometheus/tests/*.yml",
    ] {
        check("prometheus", "sh", &["-c", command]);
    }
}
