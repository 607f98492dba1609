//! The demonstration's stories, as a user in a pipe sees them.

use crate::network::Network;

#[test]
fn the_demonstration_holds_what_it_claims() -> anyhow::Result<()> {
    let network = Network::new()?;
    let output = std::process::Command::new(network.programs.join("pagent")).args(["demo", "--inside"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("claims held") && !text.contains("NOT SO"), "{text}");
    assert!(!text.contains('\x1b'), "no colour in a pipe");
    Ok(())
}
