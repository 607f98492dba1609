//! What it means where SAF decides nothing (return code 4: no profile, or the class is not active), resource by resource.
//!
//! Source: *IP Configuration Guide*, "Local user access control to TCP/IP resources using SAF", and the topics of the
//! resources. The profiles of a new installation (`EZB.**`, `MVS.**`) leave none of it undecided.

/// What begins so is permitted; everything else is refused.
const PERMITTED: [(&str, &str); 7] = [
    ("SERVAUTH", "EZB.STACKACCESS."),
    ("SERVAUTH", "EZB.NETSTAT."),
    ("SERVAUTH", "EZB.BINDDVIPARANGE."),
    ("SERVAUTH", "EZB.FRCAACCESS."),
    ("SERVAUTH", "EZB.FTP."),
    ("SERVAUTH", "EZA.DCAS."),
    ("SERVAUTH", "EZB.SOCKOPT."),
    // But for the exception below.
];

/// Whether a resource that no profile decides on is permitted. Who is not defined to RACF is refused nothing here that others are
/// permitted.
pub(crate) fn permits_undecided(class: &str, resource: &str) -> bool {
    let begins = |(of, beginning): &(&str, &str)| class.eq_ignore_ascii_case(of) && resource.starts_with(beginning);
    // What an FTP server asks for SITE DUMP and SITE DEBUG.
    let site =
        resource.starts_with("EZB.FTP.") && [".SITE.DUMP", ".SITE.DEBUG"].iter().any(|end| resource.ends_with(end));
    PERMITTED.iter().any(begins) && !site
}

#[cfg(test)]
mod tests {
    use super::permits_undecided;

    #[test]
    fn what_is_undecided_is_permitted_where_z_os_permits_it() {
        for (resource, expected) in [
            ("EZB.STACKACCESS.SYSA.TCPIP", true),
            ("EZB.NETSTAT.SYSA.TCPIP.CONN", true),
            ("EZB.FTP.SYSA.FTPD1.PORT00021", true),
            ("EZB.FTP.SYSA.FTPD1.SITE.DUMP", false),
            ("EZB.INITSTACK.SYSA.TCPIP", false),
            ("EZB.NETACCESS.SYSA.TCPIP.ZONE", false),
            ("EZB.PAGENT.SYSA.TCPIP.TTLS", false),
            ("EZB.PORTACCESS.SYSA.TCPIP.WEB", false),
            ("EZB.TN3270.SYSA.TCPIP.PORT00992", false),
        ] {
            assert_eq!(permits_undecided("SERVAUTH", resource), expected, "{resource}");
        }
        assert!(!permits_undecided("OPERCMDS", "MVS.VARY.TCPIP.DROP"));
    }
}
