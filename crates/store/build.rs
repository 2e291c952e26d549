//! Embeds the migrations anew when one is added: the compiler watches the files it embedded, not their folder.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
