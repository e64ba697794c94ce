//! A cargo project outside of this workspace, which depends on a crate of it as a user's does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debug information as in this workspace, so that dependencies with the same features are not compiled again.
const PROFILE: [&str; 2] = [
    "profile.dev.debug = 'line-tables-only'",
    "profile.dev.package.'*'.debug = false",
];

/// Builds the programs `src/bin/NAME.rs`, given by their paths in `src/bin` and texts, offline and with the versions
/// that are locked here. In the manifest, `../threadlab` is this workspace. Returns the folder of the built programs.
pub(crate) fn build(name: &str, manifest: &str, files: &[(String, String)]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let manifest = manifest.replace("../threadlab", root.to_str().unwrap());
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    for (path, text) in files {
        let path = project.join("src/bin").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Each test is a process that builds: cargo compiles what was written since the last build.
        if fs::read_to_string(&path).is_ok_and(|before| before == *text) {
            continue;
        }
        fs::write(path, text).unwrap();
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--bins", "--target-dir"])
        .arg(target)
        .args(PROFILE.map(|setting| format!("--config={setting}")))
        .current_dir(&project)
        .status()
        .unwrap();
    assert!(built.success());
    target.join("debug")
}
