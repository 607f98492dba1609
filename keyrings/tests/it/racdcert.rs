//! RACDCERT on both engines: what it makes, prints and refuses, and who gets a private key.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use keyrings::{Envelope, KeyringError, Keyrings, Racdcert, ReadsRings as _, Ring, RingLocation};
use rustls_pki_types::UnixTime;
use saf::{Application, CertificateNames, DataSets, Saf};
use tempfile::TempDir;

use crate::engine::{Database, id};

/// A database with the command, and the data sets of its user.
struct Tso {
    saf: Arc<Saf>,
    envelope: Arc<Envelope>,
    sets: Mutex<DataSets>,
    folder: TempDir,
    database: Database,
}

/// Whether a data set is secret, by its name.
type Secrets = Vec<(String, bool)>;

impl Tso {
    async fn new(database: Database) -> Self {
        let folder = TempDir::new().expect("a folder");
        let envelope = Arc::new(Envelope::new(&folder.path().join("envelope.key")));
        let saf = Saf::open(&database.url).await.expect("the database");
        let saf = Arc::new(saf.with(Arc::new(Racdcert::new(Arc::clone(&envelope)))));
        let tso = Self { saf, envelope, sets: Mutex::default(), folder, database };
        tso.ok("ADDUSER TCPIP NAME('THE STACK')").await;
        tso.ok("ADDUSER ALICE NAME('A. LIDDELL')").await;
        tso
    }

    fn url(&self) -> &str {
        &self.database.url
    }

    /// Runs a command: its code, its lines, what it made.
    async fn run(&self, issuer: &str, line: &str) -> (u8, String, Secrets) {
        let mut inputs = DataSets::new();
        loop {
            let result = self.saf.command_with(&id(issuer), line, &inputs).await.expect("an answer");
            if let Some(wanted) = result.wants {
                let content = self.sets.lock().expect("data sets").get(&wanted).cloned();
                inputs.insert(wanted.clone(), content.unwrap_or_else(|| panic!("{line}: no data set {wanted}")));
                continue;
            }
            let mut made = Secrets::new();
            for output in result.outputs {
                made.push((output.name.clone(), output.secret));
                self.sets.lock().expect("data sets").insert(output.name, output.content);
            }
            return (result.code, result.lines.join("\n"), made);
        }
    }

    async fn ok(&self, line: &str) -> String {
        let (code, text, _) = self.run("IBMUSER", line).await;
        assert_eq!(code, 0, "{line}: {text}");
        text
    }

    async fn says(&self, issuer: &str, line: &str, code: u8, expected: &str) {
        let (found, text, _) = self.run(issuer, line).await;
        assert_eq!(found, code, "{issuer} {line}: {text}");
        assert!(text.contains(expected), "{issuer} {line}: expected {expected}, got {text}");
    }

    fn put(&self, name: &str, content: impl Into<Vec<u8>>) {
        self.sets.lock().expect("data sets").insert(name.to_owned(), content.into());
    }

    /// A data set as a file for other programs.
    fn file(&self, name: &str) -> PathBuf {
        let content = self.sets.lock().expect("data sets").get(name).cloned().expect(name);
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("written");
        path
    }

    /// Reads a ring as a user.
    async fn ring(&self, reader: &str, name: &str) -> Result<Ring, KeyringError> {
        let (saf, envelope) = (Arc::clone(&self.saf), Arc::clone(&self.envelope));
        let keyrings = Keyrings::new(saf, envelope, id(reader), tokio::runtime::Handle::current());
        let location = RingLocation::resolve(name, "TCPIP").expect("a name");
        tokio::task::spawn_blocking(move || keyrings.read(&location, None)).await.expect("read")
    }

    /// An authority CA, its server certificate of TCPIP's, and the ring of both.
    async fn set_up_ring(&self) {
        for line in [
            "RACDCERT CERTAUTH GENCERT SUBJECTSDN(CN('Test CA') O('Example') C('US')) WITHLABEL('CA') NISTECC",
            "RACDCERT ID(TCPIP) GENCERT SUBJECTSDN(CN('server.example')) WITHLABEL('SERVER') NISTECC \
             SIGNWITH(CERTAUTH LABEL('CA')) ALTNAME(DOMAIN('server.example'))",
            "RACDCERT ID(TCPIP) ADDRING(TCPIP-KEYRING)",
            "RACDCERT ID(TCPIP) CONNECT(CERTAUTH LABEL('CA') RING(TCPIP-KEYRING))",
            "RACDCERT ID(TCPIP) CONNECT(LABEL('SERVER') RING(TCPIP-KEYRING) DEFAULT)",
        ] {
            self.ok(line).await;
        }
    }

    async fn permit(&self, class: &str, profile: &str, who: &str, level: &str) {
        self.run("IBMUSER", &format!("RDEFINE {class} {profile} UACC(NONE)")).await;
        self.ok(&format!("PERMIT {profile} CLASS({class}) ID({who}) ACCESS({level})")).await;
        self.ok(&format!("SETROPTS RACLIST({class}) REFRESH")).await;
    }
}

fn openssl(words: &[&str]) -> String {
    let output = Command::new("openssl").args(words).output().expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {words:?}: {text}");
    text
}

fn has_key(ring: &Ring, label: Option<&str>) -> bool {
    ring.identity(label, UnixTime::now()).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_accepts_what_gencert_makes() {
    on_both(async |tso: Tso| {
        for (number, key) in ["RSA SIZE(2048)", "NISTECC", "NISTECC SIZE(384)", "NISTECC SIZE(521)"].iter().enumerate() {
            tso.ok(&format!(
                "RACDCERT CERTAUTH GENCERT SUBJECTSDN(CN('CA {number}') O('Example, Inc.') SP('Utah') L('Provo') C('US')) \
                 WITHLABEL('CA{number}') {key} NOTBEFORE(DATE(2025-12-01)) NOTAFTER(DATE(2037-12-31))"
            ))
            .await;
            tso.ok(&format!(
                "RACDCERT ID(TCPIP) GENCERT SUBJECTSDN(CN('server.example') OU('TCPIP') T('Server')) WITHLABEL('S{number}') {key} \
                 SIGNWITH(CERTAUTH LABEL('CA{number}')) KEYUSAGE(HANDSHAKE) NOTBEFORE(DATE(2026-01-01) TIME(10:00:00)) \
                 NOTAFTER(DATE(2037-12-31)) \
                 ALTNAME(DOMAIN('a.example','b.example') ADOMAIN('c.example') IP(10.1.2.3) AIP(fd00::1) EMAIL('a@b.example') \
                 URI('https://a.example/'))"
            ))
            .await;
            tso.ok(&format!("RACDCERT CERTAUTH EXPORT(LABEL('CA{number}')) DSN('CA.PEM')")).await;
            tso.ok(&format!("RACDCERT ID(TCPIP) EXPORT(LABEL('S{number}')) DSN('S.PEM') FORMAT(CERTB64)")).await;
            let (ca, server) = (tso.file("CA.PEM"), tso.file("S.PEM"));
            let (ca, server) = (ca.to_str().expect("a path"), server.to_str().expect("a path"));
            openssl(&["verify", "-x509_strict", "-CAfile", ca, server]);
            let text = openssl(&["x509", "-in", server, "-noout", "-text", "-nameopt", "RFC2253"]);
            for expected in [
                "Issuer: CN=CA",
                "Subject: CN=server.example,title=Server,OU=TCPIP",
                "Not After : Dec 31",
                "DNS:a.example, DNS:b.example, DNS:c.example, IP Address:10.1.2.3, IP Address:FD00:0:0:0:0:0:0:1",
                "email:a@b.example, URI:https://a.example/",
                "Digital Signature",
            ] {
                assert!(text.contains(expected), "{expected}\n{text}");
            }
            let listed = tso.ok(&format!("RACDCERT ID(TCPIP) LIST(LABEL('S{number}'))")).await;
            for expected in [
                "Digital certificate information for user TCPIP:",
                "  Status: TRUST",
                "  Start Date: 2026/01/01 10:00:00",
                "  End Date:   2037/12/31 23:59:59",
                "       >01<",
                "       >CN=CA ",
                ".O=Example, Inc..L=Provo.SP=Utah.C=US<",
                "       >CN=server.example.T=Server.OU=TCPIP<",
                "    IP: 10.1.2.3",
                "    EMail: a at b.example",
                "    Domain: c.example",
                "    URI: https://a.example/",
                "  Key Usage: HANDSHAKE",
                "  Private Key: YES",
                "  *** No rings associated ***",
            ] {
                assert!(listed.contains(expected), "{expected}\n{listed}");
            }
        }
        let second = "RACDCERT ID(TCPIP) GENCERT WITHLABEL('SECOND') NISTECC SIGNWITH(CERTAUTH LABEL('CA1'))";
        tso.ok(second).await;
        let listed = tso.ok("RACDCERT ID(TCPIP) LIST(LABEL('SECOND'))").await;
        assert!(listed.contains(">02<") && listed.contains(">CN=THE STACK<"), "{listed}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_goes_out_and_comes_in_again() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        for (format, kind) in [
            ("PKCS12B64", "version -r -a"),
            ("CERTB64", "x509 -noout -in"),
            ("CERTDER", "x509 -noout -inform DER -in"),
            ("PKCS7B64", "pkcs7 -noout -in"),
            ("PKCS7DER", "pkcs7 -noout -inform DER -in"),
            ("PKCS12DER", "pkcs12 -noout -passin pass:secret -in"),
        ] {
            let line = format!(
                "RACDCERT ID(TCPIP) EXPORT(LABEL('SERVER')) DSN('OUT.{format}') FORMAT({format}) PASSWORD('secret')"
            );
            let (code, text, made) = tso.run("IBMUSER", &line).await;
            assert_eq!(code, 0, "{line}: {text}");
            assert_eq!(made, [(format!("OUT.{format}"), format.starts_with("PKCS12"))]);
            let file = tso.file(&format!("OUT.{format}"));
            // openssl reads no PKCS#12 between markers.
            if format != "PKCS12B64" {
                let words: Vec<&str> = kind.split(' ').chain([file.to_str().expect("a path")]).collect();
                openssl(&words);
            }
        }
        // What openssl packs is read too.
        let p12 = tso.file("OUT.PKCS12DER");
        let pem = openssl(&["pkcs12", "-nodes", "-passin", "pass:secret", "-in", p12.to_str().expect("a path")]);
        tso.put("PEM", pem);
        for (owner, set, options) in [
            ("ALICE", "OUT.PKCS12DER", "PASSWORD('secret')"),
            ("ALICE", "OUT.PKCS12B64", "PASSWORD('secret')"),
            ("ALICE", "PEM", ""),
            ("ALICE", "OUT.PKCS7DER", ""),
        ] {
            tso.ok("RACDCERT ID(TCPIP) DELETE(LABEL('SERVER'))").await;
            tso.ok(&format!("RACDCERT ID({owner}) ADD('{set}') WITHLABEL('IN') {options}")).await;
            let listed = tso.ok(&format!("RACDCERT ID({owner}) LIST(LABEL('IN'))")).await;
            let has_key = if set == "OUT.PKCS7DER" { "Private Key: NO" } else { "Private Key: YES" };
            assert!(listed.contains("CN=server.example") && listed.contains(has_key), "{listed}");
            tso.ok(&format!("RACDCERT ID({owner}) DELETE(LABEL('IN'))")).await;
            tso.ok("RACDCERT ID(TCPIP) ADD('OUT.PKCS12DER') WITHLABEL('SERVER') PASSWORD('secret')").await;
        }
        tso.says(
            "IBMUSER",
            "RACDCERT ID(ALICE) ADD('OUT.PKCS12DER') PASSWORD('wrong')",
            8,
            "PASSWORD is missing or wrong",
        )
        .await;
        tso.says("IBMUSER", "RACDCERT ID(ALICE) ADD('OUT.CERTDER')", 8, "IRRD109I The certificate cannot be added.")
            .await;
        tso.put("JUNK", "this is no certificate");
        tso.says("IBMUSER", "RACDCERT ID(ALICE) ADD('JUNK')", 8, "IRRD104I").await;
        let checked = tso.ok("RACDCERT CHECKCERT('OUT.PKCS7DER')").await;
        assert!(checked.contains("Chain contains 2 certificate(s), chain is complete"), "{checked}");
        assert!(checked.contains("Digital certificate information for CERTAUTH:"), "{checked}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_signed_and_its_answer_takes_the_place_of_the_first() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        tso.ok("RACDCERT ID(ALICE) GENCERT SUBJECTSDN(CN('alice') O('Example')) WITHLABEL('MINE') NISTECC ALTNAME(DOMAIN('alice.example'))")
            .await;
        tso.ok("RACDCERT ID(ALICE) GENREQ(LABEL('MINE')) DSN('REQ')").await;
        openssl(&["req", "-verify", "-noout", "-in", tso.file("REQ").to_str().expect("a path")]);
        tso.says("IBMUSER", "RACDCERT ID(ALICE) DELETE(LABEL('MINE'))", 8, "Specify FORCE").await;
        tso.ok("RACDCERT ID(ALICE) GENCERT('REQ') SIGNWITH(CERTAUTH LABEL('CA'))").await;
        let listed = tso.ok("RACDCERT ID(ALICE) LIST").await;
        assert_eq!(listed.matches("Label:").count(), 1, "{listed}");
        assert!(listed.contains(">CN=Test CA.O=Example.C=US<") && listed.contains("Domain: alice.example"), "{listed}");
        assert!(listed.contains("Label: MINE") && listed.contains("Private Key: YES"), "{listed}");
        // A request that wants to be an authority is not one by that.
        let config = "[req]\ndistinguished_name=d\nreq_extensions=e\n[d]\n[e]\nbasicConstraints=CA:TRUE\nkeyUsage=keyCertSign\n";
        let (file, key) = (tso.folder.path().join("req.cnf"), tso.folder.path().join("k"));
        fs::write(&file, config).expect("written");
        let request = openssl(&[
            "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key.to_str().expect("a path"), "-subj", "/CN=mallory",
            "-config", file.to_str().expect("a path"),
        ]);
        tso.put("CA.REQ", request.get(request.find("-----BEGIN").expect("a request")..).expect("a request"));
        tso.ok("RACDCERT ID(ALICE) GENCERT('CA.REQ') SIGNWITH(CERTAUTH LABEL('CA')) WITHLABEL('M')").await;
        tso.ok("RACDCERT ID(ALICE) EXPORT(LABEL('M')) DSN('M.PEM')").await;
        let text = openssl(&["x509", "-noout", "-text", "-in", tso.file("M.PEM").to_str().expect("a path")]);
        assert!(!text.contains("CA:TRUE") && !text.contains("Certificate Sign"), "{text}");
        let damaged = tso.sets.lock().expect("sets").get("REQ").cloned().expect("a request");
        tso.put("BAD.REQ", String::from_utf8_lossy(&damaged).replacen('M', "N", 3));
        tso.says("IBMUSER", "RACDCERT ID(ALICE) GENCERT('BAD.REQ') SIGNWITH(CERTAUTH LABEL('CA'))", 8, "IRRD130I").await;
        tso.says("IBMUSER", "RACDCERT ID(ALICE) GENCERT('REQ')", 8, "without SIGNWITH").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollover_puts_the_new_key_into_every_ring_and_takes_the_old_one_away() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        tso.ok("RACDCERT ID(TCPIP) ADDRING(Second)").await;
        tso.ok("RACDCERT ID(TCPIP) CONNECT(LABEL('SERVER') RING(Second))").await;
        tso.ok("RACDCERT ID(TCPIP) REKEY(LABEL('SERVER')) WITHLABEL('NEW') NISTECC SIZE(384)").await;
        tso.ok("RACDCERT ID(TCPIP) GENREQ(LABEL('NEW')) DSN('REQ')").await;
        tso.ok("RACDCERT ID(TCPIP) GENCERT('REQ') SIGNWITH(CERTAUTH LABEL('CA'))").await;
        tso.ok("RACDCERT ID(TCPIP) ROLLOVER(LABEL('SERVER')) NEWLABEL('NEW')").await;
        let listed = tso.ok("RACDCERT ID(TCPIP) LISTRING(*)").await;
        assert!(!listed.contains("SERVER") && listed.matches("  NEW ").count() == 2, "{listed}");
        assert!(listed.contains("  NEW                                ID(TCPIP)      PERSONAL     YES"), "{listed}");
        let old = tso.ok("RACDCERT ID(TCPIP) LIST(LABEL('SERVER'))").await;
        assert!(old.contains("Private Key: NO"), "{old}");
        tso.says("IBMUSER", "RACDCERT ID(TCPIP) GENREQ(LABEL('SERVER')) DSN('X')", 8, "retired by ROLLOVER").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rings_are_listed_as_racf_lists_them() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        tso.ok("RACDCERT ID(TCPIP) ADDRING(Empty)").await;
        assert_eq!(
            tso.ok("RACDCERT ID(TCPIP) LISTRING(*)").await,
            "Digital ring information for user TCPIP:\n\n  Ring:\n       >Empty<\n  *** No certificates connected ***\n\n  \
             Ring:\n       >TCPIP-KEYRING<\n  \
             Certificate Label Name             Cert Owner     USAGE      DEFAULT\n  \
             --------------------------------   ------------   --------   -------\n  \
             SERVER                             ID(TCPIP)      PERSONAL     YES\n  \
             CA                                 CERTAUTH       CERTAUTH     NO"
        );
        let chain = tso.ok("RACDCERT ID(TCPIP) LISTCHAIN(LABEL('SERVER'))").await;
        assert!(chain.contains("Chain contains ring in common: TCPIP/TCPIP-KEYRING"), "{chain}");
        for (line, expected) in [
            ("RACDCERT ID(ALICE) LISTRING(*)", "IRRD115I User ALICE has no rings."),
            ("RACDCERT ID(TCPIP) LISTRING(NONE)", "IRRD114I Ring NONE does not exist."),
            ("RACDCERT ID(TCPIP) ADDRING(Empty)", "IRRD118I Ring Empty already exists."),
            ("RACDCERT ID(TCPIP) ADDRING(A*)", "IKJ56702I INVALID RING NAME, A*"),
            ("RACDCERT ID(TCPIP) REMOVE(LABEL('SERVER') RING(Empty))", "IRRD116I Label SERVER does not exist in ring Empty"),
            ("RACDCERT ID(TCPIP) CONNECT(LABEL('NO') RING(Empty))", "IRRD107I No matching certificate"),
            ("RACDCERT ID(TCPIP) CONNECT(LABEL('SERVER'))", "IRRD121I A ring name and label name must be specified."),
            ("RACDCERT ID(NOBODY) LIST", "IRRD105I"),
            ("RACDCERT SITE ADDRING(X)", "IKJ56712I INVALID KEYWORD"),
            ("RACDCERT ID(TCPIP) GENCERT RSA(PKDS(*))", "THERE IS NO ICSF"),
            ("RACDCERT ID(TCPIP) GENCERT BPECC", "KEYS ARE RSA"),
            ("RACDCERT ID(TCPIP) GENCERT SIZE(1024)", "2048, 3072 OR 4096"),
            ("RACDCERT ID(TCPIP) GENCERT NOTAFTER(DATE(2020-01-01))", "IRRD131I"),
            ("RACDCERT ID(TCPIP) GENCERT SUBJECTSDN(OU('A','B'))", "ONE VALUE IS EXPECTED"),
            ("RACDCERT ID(TCPIP) GENCERT SIGNWITH(LABEL('SERVER'))", "IRRD132I"),
            ("RACDCERT ID(TCPIP) FROB", "IKJ56712I INVALID KEYWORD, FROB"),
            ("RACDCERT ID(TCPIP) LIST(LABEL('NO'))", "IRRD107I"),
        ] {
            tso.says("IBMUSER", line, 8, expected).await;
        }
        tso.ok("RACDCERT ID(TCPIP) REMOVE(LABEL('SERVER') RING(TCPIP-KEYRING))").await;
        tso.ok("RACDCERT ID(TCPIP) DELRING(TCPIP-KEYRING)").await;
        tso.ok("DELUSER TCPIP").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_need_read_for_one_s_own_update_for_others_control_for_authorities() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        let own = "RACDCERT ADDRING(Mine)";
        let other = "RACDCERT ID(TCPIP) ADDRING(Other)";
        tso.says("ALICE", own, 8, "IRRD101I You are not authorized to issue the RACDCERT command.").await;
        tso.permit("FACILITY", "IRR.DIGTCERT.ADDRING", "ALICE", "READ").await;
        tso.says("ALICE", own, 0, "").await;
        tso.says("ALICE", other, 8, "ADDRING NEEDS UPDATE TO IRR.DIGTCERT.ADDRING IN CLASS FACILITY").await;
        tso.permit("FACILITY", "IRR.DIGTCERT.ADDRING", "ALICE", "UPDATE").await;
        tso.says("ALICE", other, 0, "").await;
        tso.permit("FACILITY", "IRR.DIGTCERT.GENCERT", "ALICE", "UPDATE").await;
        let signed = "RACDCERT GENCERT NISTECC WITHLABEL('A') SIGNWITH(CERTAUTH LABEL('CA'))";
        tso.says("ALICE", signed, 8, "GENCERT NEEDS CONTROL").await;
        tso.permit("FACILITY", "IRR.DIGTCERT.GENCERT", "ALICE", "CONTROL").await;
        tso.says("ALICE", signed, 0, "IRRD199I").await;
        // Another's private key by way of one's own ring.
        tso.permit("FACILITY", "IRR.DIGTCERT.CONNECT", "ALICE", "UPDATE").await;
        let steal = "RACDCERT CONNECT(ID(TCPIP) LABEL('SERVER') RING(Mine))";
        tso.says("ALICE", steal, 8, "CONNECT NEEDS CONTROL").await;
        // Nor is anybody trusted by another's ring for the asking.
        let plant = "RACDCERT ID(TCPIP) CONNECT(LABEL('A') RING(TCPIP-KEYRING) USAGE(CERTAUTH))";
        tso.says("ALICE", plant, 8, "CONNECT NEEDS CONTROL").await;
        let export = "RACDCERT ID(TCPIP) EXPORT(LABEL('SERVER')) DSN('X') PASSWORD('secret')";
        tso.permit("FACILITY", "IRR.DIGTCERT.EXPORT", "ALICE", "CONTROL").await;
        tso.says("ALICE", export, 8, "EXPORTKEY NEEDS UPDATE").await;
        // Granular authority takes the place of FACILITY's, and READ is enough.
        tso.permit("RDATALIB", "IRR.RACDCERT.GRANULAR", "IBMUSER", "READ").await;
        tso.says("ALICE", own, 8, "READ TO ALICE.MINE.UPD.ADDRING IN CLASS RDATALIB").await;
        tso.permit("RDATALIB", "ALICE.**", "ALICE", "READ").await;
        tso.says("ALICE", own, 8, "IRRD118I").await;
        tso.permit("RDATALIB", "IRR.DIGTCERT.TCPIP.SERVER.LST.EXPORT", "ALICE", "READ").await;
        tso.says("ALICE", "RACDCERT ID(TCPIP) EXPORT(LABEL('SERVER')) DSN('X')", 0, "").await;
        // The certificate itself is asked about, whether its label is said or not.
        tso.permit("RDATALIB", "IRR.DIGTCERT.TCPIP.*.LST.EXPORT", "ALICE", "READ").await;
        tso.permit("RDATALIB", "IRR.DIGTCERT.TCPIP.SERVER.UPD.EXPORT", "TCPIP", "READ").await;
        for label in ["(LABEL('SERVER'))", ""] {
            let line = format!("RACDCERT ID(TCPIP) EXPORT{label} DSN('X') PASSWORD('secret')");
            tso.says("ALICE", &line, 8, "READ TO IRR.DIGTCERT.TCPIP.SERVER.").await;
        }
        tso.says("ALICE", "RACDCERT ID(TCPIP) EXPORT(LABEL('NONE')) DSN('X')", 8, "IRRD107I").await;
        tso.says("ALICE", "RACDCERT ID(TCPIP) ALTER(LABEL('NONE')) TRUST", 8, "IRRD101I").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_16_a_ring_read_gives_certificates_and_only_to_update_another_s_key() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        let name = "TCPIP/TCPIP-KEYRING";
        let refused = |ring: Result<Ring, KeyringError>| matches!(ring, Err(KeyringError::NotAuthorized { .. }));
        assert!(refused(tso.ring("TCPIP", name).await) && refused(tso.ring("ALICE", name).await));
        // FACILITY: one's own by READ, another's by UPDATE, and never another's key.
        tso.permit("FACILITY", "IRR.DIGTCERT.LISTRING", "TCPIP", "READ").await;
        assert!(has_key(&tso.ring("TCPIP", name).await.expect("readable"), None));
        tso.permit("FACILITY", "IRR.DIGTCERT.LISTRING", "ALICE", "READ").await;
        assert!(refused(tso.ring("ALICE", name).await));
        tso.permit("FACILITY", "IRR.DIGTCERT.LISTRING", "ALICE", "UPDATE").await;
        let ring = tso.ring("ALICE", name).await.expect("readable");
        assert_eq!(ring.authorities().map(<[_]>::len).ok(), Some(1));
        let error = ring.identity(None, UnixTime::now()).expect_err("no key");
        assert!(matches!(&error, KeyringError::KeyRefused { .. }), "{error}");
        // RDATALIB decides alone where it has a profile; the ring's name is folded.
        tso.permit("RDATALIB", "TCPIP.TCPIP-KEYRING.LST", "ALICE", "READ").await;
        assert!(refused(tso.ring("TCPIP", name).await), "its owner has no entry in the profile");
        let ring = tso.ring("ALICE", name).await.expect("readable");
        assert!(!has_key(&ring, None) && ring.authorities().is_ok());
        tso.permit("RDATALIB", "TCPIP.TCPIP-KEYRING.LST", "ALICE", "UPDATE").await;
        assert!(has_key(&tso.ring("ALICE", name).await.expect("readable"), None));
        tso.permit("RDATALIB", "TCPIP.TCPIP-KEYRING.LST", "TCPIP", "READ").await;
        let ring = tso.ring("TCPIP", name).await.expect("readable");
        assert!(has_key(&ring, None) && has_key(&ring, Some("SERVER")));
        assert!(matches!(tso.ring("TCPIP", "TCPIP/NOWHERE").await, Err(KeyringError::NoRing { .. })));
        tso.ok("ALTUSER ALICE REVOKE").await;
        assert!(matches!(tso.ring("ALICE", name).await, Err(KeyringError::NoReader { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_ring_gives_follows_status_usage_and_default() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        tso.permit("RDATALIB", "*.*.LST", "TCPIP", "UPDATE").await;
        let name = "TCPIP/TCPIP-KEYRING";
        let first = tso.ring("TCPIP", name).await.expect("readable").fingerprint();
        tso.ok("RACDCERT ID(TCPIP) CONNECT(LABEL('SERVER') RING(TCPIP-KEYRING))").await;
        let ring = tso.ring("TCPIP", name).await.expect("readable");
        assert!(matches!(ring.identity(None, UnixTime::now()), Err(KeyringError::NoDefault { .. })));
        assert!(has_key(&ring, Some("SERVER")) && ring.fingerprint() != first);
        tso.ok("RACDCERT ID(TCPIP) ALTER(LABEL('SERVER')) NOTRUST").await;
        let ring = tso.ring("TCPIP", name).await.expect("readable");
        assert!(matches!(ring.identity(Some("SERVER"), UnixTime::now()), Err(KeyringError::NoSuchLabel { .. })));
        tso.ok("RACDCERT ID(TCPIP) ALTER(LABEL('SERVER')) TRUST NEWLABEL('RENAMED')").await;
        assert!(has_key(&tso.ring("TCPIP", name).await.expect("readable"), Some("RENAMED")));
        // An authority for clients is one with USAGE(CERTAUTH), whosever certificate it is.
        tso.ok("RACDCERT CERTAUTH ALTER(LABEL('CA')) NOTRUST").await;
        assert!(matches!(
            tso.ring("TCPIP", name).await.expect("readable").authorities(),
            Err(KeyringError::NoAuthority { .. })
        ));
        tso.ok("RACDCERT CERTAUTH ALTER(LABEL('CA')) HIGHTRUST").await;
        let all = tso.ring("TCPIP", "*AUTH*/*").await.expect("readable");
        assert!(all.authorities().is_ok() && all.certificates().is_empty());
        let every = tso.ring("TCPIP", "TCPIP/*").await.expect("readable");
        assert!(has_key(&every, Some("RENAMED")) && !has_key(&every, None), "a virtual ring has no default");
        // Another's certificate in one's own ring, as somebody who may lends it.
        tso.ok("RACDCERT ID(ALICE) GENCERT NISTECC WITHLABEL('LEAF')").await;
        let leaf = "RACDCERT ID(TCPIP) CONNECT(ID(ALICE) LABEL('LEAF') RING(TCPIP-KEYRING) USAGE(CERTAUTH))";
        tso.says("IBMUSER", leaf, 8, "IRRD139I").await;
        tso.ok("RACDCERT ID(ALICE) GENCERT SUBJECTSDN(CN('her CA')) NISTECC WITHLABEL('HERS') KEYUSAGE(CERTSIGN)")
            .await;
        tso.ok("RACDCERT ID(TCPIP) CONNECT(ID(ALICE) LABEL('HERS') RING(TCPIP-KEYRING) USAGE(CERTAUTH))").await;
        assert_eq!(tso.ring("TCPIP", name).await.expect("readable").authorities().map(<[_]>::len).ok(), Some(2));
    })
    .await;
}

/// Names as the daemon has them from a client's certificate.
fn names(serial: &str, issuer: &[&str], subject: &[&str]) -> CertificateNames {
    let list = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    CertificateNames {
        serial: serial.to_owned(),
        issuer: list(issuer),
        subject: list(subject),
        fingerprint: String::new(),
        ambiguous: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_18_a_client_s_certificate_is_its_owner_s_before_a_filter_maps_it() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        tso.ok("ADDUSER BOB").await;
        tso.ok("ADDUSER CAROL").await;
        tso.ok("SETROPTS CLASSACT(DIGTNMAP DIGTCRIT) RACLIST(DIGTNMAP DIGTCRIT)").await;
        let issuer = ["CN=Test CA", "O=Example", "C=US"];
        let client = names("02", &issuer, &["CN=client", "OU=Sales", "O=Example"]);
        let application = Application { applid: "TCPIP", sysid: "SYSA" };
        let today = chrono::Utc::now().date_naive();
        let whose = |names: &CertificateNames| {
            tso.saf.snapshot().map_certificate(names, application, today).map(|user| user.to_string()).map_err(|why| why.to_string())
        };
        assert!(whose(&client).is_err_and(|why| why.contains("no user ID is defined for this certificate")));
        let said = tso
            .ok("RACDCERT ID(BOB) MAP IDNFILTER('CN=Test CA.O=Example.C=US') SDNFILTER('OU=Sales.O=Example') WITHLABEL('SALES') TRUST")
            .await;
        assert!(said.contains("IRRD175I"), "{said}");
        assert!(whose(&client).is_err(), "before the refresh");
        tso.ok("SETROPTS RACLIST(DIGTNMAP) REFRESH").await;
        assert_eq!(whose(&client).as_deref(), Ok("BOB"));
        // A more specific filter first; one that is not trusted does not count; full issuer alone comes last.
        tso.ok("RACDCERT ID(CAROL) MAP IDNFILTER('CN=Test CA.O=Example.C=US') SDNFILTER('CN=client.OU=Sales.O=Example') NOTRUST").await;
        tso.ok("RACDCERT ID(CAROL) MAP IDNFILTER('O=Example.C=US') WITHLABEL('ANY')").await;
        tso.ok("SETROPTS RACLIST(DIGTNMAP) REFRESH").await;
        assert_eq!(whose(&client).as_deref(), Ok("BOB"));
        assert_eq!(whose(&names("03", &issuer, &["CN=other"])).as_deref(), Ok("CAROL"));
        tso.ok("RACDCERT ID(CAROL) ALTMAP(LABEL('LABEL00000001')) TRUST").await;
        tso.ok("SETROPTS RACLIST(DIGTNMAP) REFRESH").await;
        assert_eq!(whose(&client).as_deref(), Ok("CAROL"));
        // The certificate itself.
        tso.ok(
            "RACDCERT ID(ALICE) GENCERT SUBJECTSDN(CN('client') OU('Sales') O('Example')) NISTECC SIGNWITH(CERTAUTH LABEL('CA'))              WITHLABEL('OWN')",
        )
        .await;
        tso.ok("RACDCERT ID(ALICE) EXPORT(LABEL('OWN')) DSN('OWN') FORMAT(CERTDER)").await;
        let der = tso.sets.lock().expect("sets").get("OWN").cloned().expect("a certificate");
        // Another certificate with its number and its issuer's name is another's: the filter fits it.
        assert_eq!(whose(&client).as_deref(), Ok("CAROL"));
        let client = keyrings::names(&der).expect("a certificate");
        assert_eq!((client.serial.as_str(), whose(&client).as_deref()), ("02", Ok("ALICE")));
        tso.ok("RACDCERT ID(ALICE) ALTER(LABEL('OWN')) NOTRUST").await;
        assert!(whose(&client).is_err_and(|why| why.contains("NOTRUST")));
        tso.ok("RACDCERT ID(ALICE) ALTER(LABEL('OWN')) TRUST").await;
        tso.ok("ALTUSER ALICE REVOKE").await;
        assert!(whose(&client).is_err_and(|why| why.contains("revoked")));
        tso.ok("SETROPTS NOCLASSACT(DIGTCERT)").await;
        assert!(whose(&client).is_err_and(|why| why.contains("SETROPTS CLASSACT(DIGTCERT)")));
        tso.ok("SETROPTS CLASSACT(DIGTCERT)").await;
        // Criteria choose a user by the application.
        tso.ok("RACDCERT ID(CAROL) DELMAP(LABEL('ANY'))").await;
        tso.ok("RACDCERT MULTIID MAP SDNFILTER('CN=multi') CRITERIA(APPLID=&APPLID.SYSID=&SYSID) WITHLABEL('M')").await;
        tso.ok("RDEFINE DIGTCRIT APPLID=TCPIP.SYSID=SYSA APPLDATA('BOB')").await;
        tso.ok("SETROPTS RACLIST(DIGTNMAP DIGTCRIT) REFRESH").await;
        let multi = names("09", &["CN=elsewhere"], &["CN=multi"]);
        assert_eq!(whose(&multi).as_deref(), Ok("BOB"));
        let listed = tso.ok("RACDCERT MULTIID LISTMAP").await;
        for expected in ["Mapping information for MULTIID:", " Label: M", "      >CN=multi<", " Criteria: APPLID=&APPLID.SYSID=&SYSID"] {
            assert!(listed.contains(expected), "{expected}\n{listed}");
        }
        for (line, expected) in [
            ("RACDCERT ID(BOB) MAP IDNFILTER('nonsense')", "PARTS OF A NAME ARE EXPECTED"),
            ("RACDCERT ID(BOB) MAP", "IRRD136I"),
            ("RACDCERT ID(BOB) MAP SDNFILTER('CN=multi')", "IRRD137I"),
            ("RACDCERT MULTIID MAP SDNFILTER('CN=x')", "MISSING CRITERIA"),
            ("RACDCERT CERTAUTH MAP SDNFILTER('CN=x')", "A FILTER IS FOR ID(USERID) OR MULTIID"),
            ("RACDCERT MULTIID LIST", "LIST IS FOR ID, SITE OR CERTAUTH"),
            ("RACDCERT ID(ALICE) DELMAP", "IRRD138I"),
        ] {
            tso.says("IBMUSER", line, 8, expected).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_keys_lie_encrypted_and_follow_a_rotation() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        tso.permit("RDATALIB", "*.*.LST", "TCPIP", "UPDATE").await;
        tso.ok("RACDCERT ID(TCPIP) EXPORT(LABEL('SERVER')) DSN('P12') PASSWORD('secret')").await;
        let p12 = tso.file("P12");
        let (p12, der) = (p12.to_str().expect("a path"), tso.folder.path().join("key.der"));
        let pem = tso.folder.path().join("key.pem");
        openssl(&[
            "pkcs12",
            "-nodes",
            "-nocerts",
            "-passin",
            "pass:secret",
            "-in",
            p12,
            "-out",
            pem.to_str().expect("a path"),
        ]);
        openssl(&[
            "pkcs8",
            "-topk8",
            "-nocrypt",
            "-outform",
            "DER",
            "-in",
            pem.to_str().expect("a path"),
            "-out",
            der.to_str().expect("a path"),
        ]);
        let key = fs::read(&der).expect("a key");
        // The secret number of the key: 32 bytes behind the tag of its octet string.
        let at = key.windows(2).position(|two| two == [0x04, 0x20]).expect("a number") + 2;
        let secret = key.get(at..at + 32).expect("32 bytes").to_vec();
        let mut stored = Vec::new();
        if let Some(path) = tso.url().strip_prefix("sqlite:") {
            for end in ["", "-wal"] {
                stored.extend(fs::read(format!("{path}{end}")).unwrap_or_default());
            }
        }
        let query = "SELECT der || ' ' || COALESCE(private_key, '') AS all_of_it FROM racf_certificates";
        let rows =
            sqlx::query_scalar::<_, String>(query).fetch_all(&mut *tso.saf.read().await.expect("the database")).await;
        for text in rows.expect("rows") {
            assert!(text.split_whitespace().count() == 2, "both are there");
            for word in text.split_whitespace() {
                stored.extend(base64_decoded(word));
                stored.extend(word.bytes());
            }
        }
        let encoded = base64(&secret[..30]);
        assert!(!contains(&stored, &secret) && !contains(&stored, encoded.as_bytes()));
        let before = fs::read_to_string(tso.folder.path().join("envelope.key")).expect("the envelope");
        let keyrings = Keyrings::new(
            Arc::clone(&tso.saf),
            Arc::clone(&tso.envelope),
            id("TCPIP"),
            tokio::runtime::Handle::current(),
        );
        let refused = keyrings.rotate_key(&id("ALICE")).await.expect("an answer");
        assert_eq!((refused.code, refused.lines.concat().contains("NEEDS SPECIAL")), (8, true));
        let done = keyrings.rotate_key(&id("IBMUSER")).await.expect("an answer");
        assert!(done.lines.concat().contains("2 PRIVATE KEYS"), "{done:?}");
        let after = fs::read_to_string(tso.folder.path().join("envelope.key")).expect("the envelope");
        assert!(after != before && after.lines().count() == 1);
        assert_eq!(fs::read_to_string(tso.folder.path().join("envelope.key.old")).expect("the old key"), before);
        assert!(has_key(&tso.ring("TCPIP", "TCPIP/TCPIP-KEYRING").await.expect("readable"), None));
        // Without its file nothing is had, and none is made in its place.
        fs::remove_file(tso.folder.path().join("envelope.key")).expect("removed");
        tso.says("IBMUSER", "RACDCERT ID(TCPIP) GENCERT NISTECC", 8, "the envelope key file").await;
        let fresh = Arc::new(Envelope::new(&tso.folder.path().join("envelope.key")));
        let keyrings = Keyrings::new(Arc::clone(&tso.saf), fresh, id("TCPIP"), tokio::runtime::Handle::current());
        let location = RingLocation::resolve("TCPIP/TCPIP-KEYRING", "TCPIP").expect("a name");
        let read = tokio::task::spawn_blocking(move || keyrings.read(&location, None)).await.expect("read");
        assert!(matches!(read, Err(KeyringError::Envelope { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rings_go_through_an_unload_and_find_their_certificates_again() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        let mut unload = Vec::new();
        saf::export(tso.url(), &mut unload).await.expect("exported");
        let text = String::from_utf8(unload.clone()).expect("text");
        for expected in [
            "0207 TCPIP    01.CN=Test¢CA.O=Example.C=US",
            "0560 01.CN=Test¢CA.O=Example.C=US",
            "1560 00.CN=Test¢CA.O=Example.C=US",
            "0562 TCPIP.TCPIP-KEYRING",
        ] {
            assert!(text.lines().any(|line| line.starts_with(expected)), "{expected}\n{text}");
        }
        assert!(text.lines().any(|line| line.starts_with("0500 01.CN=Test¢CA") && line.contains(" TRUST ")), "{text}");
        let file = tso.folder.path().join("unload");
        fs::write(&file, &unload).expect("written");
        let import = async || {
            let mut rejected = Vec::new();
            let done =
                saf::import(tso.url(), &file, &mut |record| rejected.push((record.kind, record.reason)), &mut |_| {})
                    .await;
            (done.expect("imported"), rejected)
        };
        tso.ok("RACDCERT ID(TCPIP) DELRING(TCPIP-KEYRING)").await;
        let (done, _) = import().await;
        assert_eq!((done.records.get("0500"), done.records.get("0562")), (Some(&1), Some(&2)), "{done:?}");
        let listed = tso.ok("RACDCERT ID(TCPIP) LISTRING(*)").await;
        assert!(listed.contains("SERVER                             ID(TCPIP)      PERSONAL     YES"), "{listed}");
        // A certificate that is not there any more is named.
        tso.ok("RACDCERT ID(TCPIP) DELRING(TCPIP-KEYRING)").await;
        tso.ok("RACDCERT ID(TCPIP) DELETE(LABEL('SERVER'))").await;
        let (done, rejected) = import().await;
        assert_eq!(done.records.get("0562"), Some(&1), "{done:?}");
        assert!(
            rejected.iter().any(|(kind, reason)| kind == "0562"
                && reason.contains("(label SERVER)")
                && reason.contains("RACDCERT ADD")),
            "{rejected:?}"
        );
    })
    .await;
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn base64_decoded(text: &str) -> Vec<u8> {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.decode(text).expect("base64")
}

fn base64(bytes: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.encode(bytes)
}

async fn on_both(test: impl AsyncFn(Tso)) {
    test(Tso::new(Database::sqlite().await).await).await;
    test(Tso::new(Database::postgres().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_goes_takes_certificates_along_and_serial_numbers_are_never_given_twice() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        let count = tso.saf.certificates_changed();
        let before = *count.borrow();
        tso.ok("RACDCERT ID(ALICE) GENCERT SUBJECTSDN(CN('a')) NISTECC SIGNWITH(CERTAUTH LABEL('CA')) WITHLABEL('A')")
            .await;
        tso.ok("RACDCERT ID(ALICE) EXPORT(LABEL('A')) DSN('A') FORMAT(CERTDER)").await;
        let der = tso.sets.lock().expect("sets").get("A").cloned().expect("a certificate");
        let names = keyrings::names(&der).expect("a certificate");
        let whose = || {
            let application = Application { applid: "TCPIP", sysid: "SYSA" };
            tso.saf.snapshot().map_certificate(&names, application, chrono::Utc::now().date_naive()).ok()
        };
        assert_eq!(whose(), Some(id("ALICE")));
        tso.ok("DELUSER ALICE").await;
        assert!(*count.borrow() > before);
        tso.ok("ADDUSER ALICE").await;
        assert_eq!(whose(), None, "the new ALICE is another one");
        // An authority that comes with its key, and certificates of its that were there before.
        tso.ok("RACDCERT CERTAUTH EXPORT(LABEL('CA')) DSN('CA') PASSWORD('pw')").await;
        tso.ok("RACDCERT CERTAUTH DELETE(LABEL('CA'))").await;
        tso.ok("RACDCERT CERTAUTH ADD('CA') PASSWORD('pw') WITHLABEL('CA')").await;
        tso.ok("RACDCERT ID(ALICE) ADD('A') WITHLABEL('OLD')").await;
        tso.ok("RACDCERT ID(ALICE) GENCERT SUBJECTSDN(CN('b')) NISTECC SIGNWITH(CERTAUTH LABEL('CA')) WITHLABEL('B')")
            .await;
        let listed = tso.ok("RACDCERT ID(ALICE) LIST(LABEL('B'))").await;
        assert!(listed.contains(">03<"), "01 is the server's, 02 the one that was added: {listed}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_of_three_levels_is_trusted_from_its_root_down() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        for line in [
            "RACDCERT CERTAUTH GENCERT SUBJECTSDN(CN('Middle')) NISTECC SIGNWITH(CERTAUTH LABEL('CA')) WITHLABEL('MIDDLE')",
            "RACDCERT ID(ALICE) GENCERT SUBJECTSDN(CN('leaf')) NISTECC SIGNWITH(CERTAUTH LABEL('MIDDLE')) WITHLABEL('LEAF')",
            "RACDCERT ID(ALICE) EXPORT(LABEL('LEAF')) DSN('P12') PASSWORD('pw')",
            "RACDCERT ID(ALICE) DELETE(LABEL('LEAF'))",
            "RACDCERT CERTAUTH DELETE(LABEL('MIDDLE'))",
            "RACDCERT CERTAUTH DELETE(LABEL('CA'))",
            "RACDCERT ID(ALICE) ADD('P12') PASSWORD('pw') WITHLABEL('LEAF')",
        ] {
            tso.ok(line).await;
        }
        let authorities = tso.ok("RACDCERT CERTAUTH LIST").await;
        assert_eq!(authorities.matches("Status: TRUST").count(), 2, "{authorities}");
        assert!(tso.ok("RACDCERT ID(ALICE) LIST(LABEL('LEAF'))").await.contains("Status: TRUST"));
    })
    .await;
}

/// Whatever makes a ring readable, or no more, is told to those who read it.
#[tokio::test(flavor = "multi_thread")]
async fn every_right_to_a_ring_that_changes_has_it_read_again() {
    on_both(async |tso: Tso| {
        tso.set_up_ring().await;
        tso.ok("SETROPTS NORACLIST(FACILITY)").await;
        tso.ok("RDEFINE FACILITY IRR.DIGTCERT.LISTRING UACC(NONE)").await;
        for line in [
            "PERMIT IRR.DIGTCERT.LISTRING CLASS(FACILITY) ID(TCPIP) ACCESS(READ)",
            "RALTER FACILITY IRR.DIGTCERT.LISTRING UACC(READ)",
            "RDELETE FACILITY IRR.DIGTCERT.LISTRING",
            "SETROPTS NOCLASSACT(RDATALIB)",
            "SETROPTS CLASSACT(RDATALIB)",
            "ALTUSER TCPIP REVOKE",
            "ALTUSER TCPIP RESUME",
            "RACDCERT ID(TCPIP) ADDRING(OTHER)",
        ] {
            let count = tso.saf.certificates_changed();
            let before = *count.borrow();
            tso.ok(line).await;
            assert!(*count.borrow() > before, "{line}");
        }
        let count = tso.saf.certificates_changed();
        let before = *count.borrow();
        tso.ok("RDEFINE SERVAUTH EZB.OTHER UACC(NONE)").await;
        assert_eq!(*count.borrow(), before, "nothing that rings depend on");
    })
    .await;
}
