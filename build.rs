//! Builds again when a file is added to presets/: include_dir lets the compiler follow changes of the files it found, not
//! the folder.

fn main() {
    println!("cargo::rerun-if-changed=presets");
}
