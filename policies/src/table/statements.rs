//! The rows. See [`super`] for what they mean.

use super::Verdict::{Differs, Refused};
use super::{
    Engine, Parameter, Statement, directive, dns_name, either, inline, line, opaque, reference, row, rule, top, word,
};
use crate::algorithm::{Authentication, Encryption, KeyExchange, Protocol};
use crate::protection::VERSION_WORDS;
use crate::value::Kind;

const ON_OFF: Kind = Kind::OnOff;
const REQUIRED_OPTIONAL_OFF: Kind = Kind::Choice(&["Off", "Optional", "Required"]);
const DIRECTION: Kind = Kind::Choice(&["Inbound", "Outbound", "Both"]);
const ROLE: Kind = Kind::Choice(&["Client", "Server", "ServerWithClientAuth"]);
const LEVEL: Kind = Kind::Choice(&["Low", "Medium", "High"]);
const ANY_NUMBER: Kind = Kind::Number(0, u32::MAX);

const NO_OLD_VERSION: &str = "SSLv2, SSLv3, TLSv1 and TLSv1.1 are never negotiated";
const NO_FRAGMENT: &str = "the maximum fragment length extension (RFC 6066) is not negotiated";
const NO_SNI_ANSWER: &str = "a server's answer to the name is not told by the engine; code Optional, and \
HostReferenceIdDNS to check the server";
const NO_LDAP: &str =
    "LDAP servers are not asked for revocation lists; name a list with CrlFile, or code HttpCdpEnable On";
const NO_LDAP_SOURCE: &str = "it steers the search in LDAP servers, which are not asked";
const NO_SIGNED_REQUEST: &str = "OCSP requests are sent unsigned";
const NO_TRACE: &str = "there is no packet trace that could show decrypted data";
const NO_EMS_OFF: &str = "the extended master secret (RFC 7627) is always offered and used when the peer has it";
const NO_SYSPLEX: &str = "session caches are not shared between hosts yet";
const NO_DHE: &str = "suites with finite-field Diffie-Hellman are never negotiated";
const NO_DSA: &str = "DSA certificates are never accepted";
const NO_RENEGOTIATION: &str = "renegotiation is always refused, by both roles";
const OTHER_POLICY: &str = "this agent has AT-TLS and zERT policies only";
const LOCAL_ONLY: &str = "policies are read from local files only";

/// What zERT statements say of protections.
const PROTOCOL: Parameter = row(
    "Protocol",
    Kind::Choices(Protocol::WORDS),
    "What may protect the connection: TLS (SSL included), SSH, IPsec; None is clear text. Several: any of them. \
     Uncoded, TLS or SSH where a parameter of theirs is coded, else any.",
)
.list();
const SSH_VERSION: Parameter =
    row("MinimumSSHVersion", Kind::Choice(&["SSHv1", "SSHv2"]), "Lowest version of SSH: SSHv1 or SSHv2. Uncoded, any.");
const CIPHER_SUITES: Parameter = row(
    "CipherSuites",
    Kind::Suites(4),
    "TLS cipher suites, names or four hexadecimal digits each; one of them is negotiated. Uncoded, any.",
)
.list()
.compared();
const ENCRYPTION_ALGORITHM: Parameter = row(
    "EncryptionAlgorithm",
    Kind::Choices(Encryption::WORDS),
    "Encryption, in both directions one of these. Uncoded, any.",
)
.list();
const ENCRYPTION_BITS: Parameter = row(
    "MinimumEncryptionBits",
    Kind::Number(1, 256),
    "Bits that the encryption's key has at least, 1-256; 3DES counts as 112. Uncoded, any.",
);
const MESSAGE_AUTHENTICATION: Parameter = row(
    "MessageAuthentication",
    Kind::Choices(Authentication::WORDS),
    "Message authentication, in both directions one of these; AEAD is that of GCM, CCM and Poly1305. Uncoded, any.",
)
.list();
const KEY_EXCHANGE: Parameter = row(
    "KeyExchange",
    Kind::Choices(KeyExchange::WORDS),
    "How keys are agreed on, one of these; HYBRID is an elliptic curve joined with a post-quantum key encapsulation. \
     Uncoded, any.",
)
.list();
const KEY_EXCHANGE_GROUP: Parameter = row(
    "KeyExchangeGroup",
    Kind::Groups { any: false },
    "TLS groups, names or four decimal digits each; keys are agreed on in one of them. Uncoded, any.",
)
.list()
.compared();
const RSA_KEY_SIZE: Parameter = row(
    "MinimumRSAKeySize",
    Kind::Number(1, 65_535),
    "Bits that a server's RSA key has at least. TLS 1.3 hides certificates. Uncoded, any.",
);
const ECC_KEY_SIZE: Parameter = row(
    "MinimumECCKeySize",
    Kind::Number(1, 65_535),
    "Bits that a server's elliptic curve key has at least. TLS 1.3 hides certificates. Uncoded, any.",
);
const DH_KEY_SIZE: Parameter = row(
    "MinimumDHKeySize",
    Kind::Number(1, 65_535),
    "Bits that the prime of a Diffie-Hellman key exchange has at least. Uncoded, any.",
);

/// The conditions of AT-TLS and zERT rules.
pub(super) const CONDITIONS: &[Parameter] = &[
    row(
        "LocalAddr",
        Kind::Address,
        "Address of this host's end that the rule matches: an address, address/prefix, \
         address-address, or All.",
    ),
    reference("LocalAddrRef", "IpAddr", "Name of an IpAddr statement with the local address that the rule matches."),
    reference(
        "LocalAddrSetRef",
        "IpAddrSet",
        "Name of an IpAddrSet statement with the local prefix or address range that the rule \
         matches.",
    ),
    reference(
        "LocalAddrGroupRef",
        "IpAddrGroup",
        "Name of an IpAddrGroup statement; the rule matches when the local address is in any of its \
         members.",
    ),
    row(
        "RemoteAddr",
        Kind::Address,
        "Address of the peer that the rule matches: an address, address/prefix, address-address, or \
         All.",
    ),
    reference("RemoteAddrRef", "IpAddr", "Name of an IpAddr statement with the peer's address that the rule matches."),
    reference(
        "RemoteAddrSetRef",
        "IpAddrSet",
        "Name of an IpAddrSet statement with the peer's prefix or address range that the rule \
         matches.",
    ),
    reference(
        "RemoteAddrGroupRef",
        "IpAddrGroup",
        "Name of an IpAddrGroup statement; the rule matches when the peer's address is in any of \
         its members.",
    ),
    row(
        "LocalPortRange",
        Kind::Ports,
        "Local port that the rule matches: a port 1-65535, a range n-m, or All. For inbound \
         connections the port the server listens on.",
    )
    .list(),
    reference(
        "LocalPortRangeRef",
        "PortRange",
        "Name of a PortRange statement with the local ports that the rule matches.",
    ),
    reference(
        "LocalPortGroupRef",
        "PortGroup",
        "Name of a PortGroup statement; the rule matches when the local port is in any of its \
         members.",
    ),
    row(
        "RemotePortRange",
        Kind::Ports,
        "The peer's port that the rule matches: a port 1-65535, a range n-m, or All. For outbound \
         connections the server's port.",
    )
    .list(),
    reference(
        "RemotePortRangeRef",
        "PortRange",
        "Name of a PortRange statement with the peer's ports that the rule matches.",
    ),
    reference(
        "RemotePortGroupRef",
        "PortGroup",
        "Name of a PortGroup statement; the rule matches when the peer's port is in any of its \
         members.",
    ),
    row(
        "Jobname",
        Kind::NamePattern,
        "Job that owns the local socket: 1-8 characters A-Z 0-9 @ # $, in any case; * at the end \
         matches any rest. Uncoded, any job.",
    ),
    row(
        "Userid",
        Kind::NamePattern,
        "User that owns the process with the local socket: 1-8 characters A-Z 0-9 @ # $, in any \
         case; * at the end matches any rest. Uncoded, any user.",
    ),
    row(
        "Priority",
        Kind::Number(1, 2_000_000_000),
        "Place in the search order, 1-2000000000; higher is searched first. Rules of equal priority \
         are searched by name.",
    )
    .or("1"),
    inline("IpTimeCondition", "Times at which the rule is active, written in place. Without one it is always active."),
    reference(
        "IpTimeConditionRef",
        "IpTimeCondition",
        "Name of the IpTimeCondition statement that says when the rule is active.",
    ),
];

/// The rows of both AdvancedParms statements, in the order `pasearch` prints them.
const ADVANCED: &[Parameter] = &[
    row(
        "SecondaryMap",
        ON_OFF,
        "On lets further connections of the same process with the same peer address use this \
         connection's policy (FTP data connections). Uncoded, the group's value.",
    )
    .or("Off")
    .quiet(),
    row("SSLv2", ON_OFF, "Whether SSL 2.0 may be negotiated.").or("Off").differs(NO_OLD_VERSION),
    row("SSLv3", ON_OFF, "Whether SSL 3.0 may be negotiated.").or("Off").differs(NO_OLD_VERSION),
    row("TLSv1", ON_OFF, "Whether TLS 1.0 may be negotiated.").or("Off").ibm("On").differs(NO_OLD_VERSION),
    row("TLSv1.1", ON_OFF, "Whether TLS 1.1 may be negotiated.").or("Off").ibm("On").differs(NO_OLD_VERSION),
    row("TLSv1.2", ON_OFF, "Whether TLS 1.2 may be negotiated.").or("On").ibm("Off"),
    row("TLSv1.3", ON_OFF, "Whether TLS 1.3 may be negotiated; it needs a cipher suite with a 13xx code.")
        .or("On")
        .ibm("Off"),
    row(
        "MiddleBoxCompatMode",
        ON_OFF,
        "Whether TLS 1.3 handshakes carry a session id and change_cipher_spec (RFC 8446 D.4), so \
         that middleboxes take them for TLS 1.2.",
    )
    .or("On")
    .ibm("Off")
    .differs("RFC 8446 D.4's compatibility messages are always sent"),
    row(
        "ApplicationControlled",
        ON_OFF,
        "On leaves starting and stopping TLS to the program (SIOCTTLSCTL); until it starts TLS the \
         connection is in clear text. Off starts TLS at once.",
    )
    .or("Off"),
    row(
        "HandshakeTimeout",
        Kind::Number(0, 600),
        "Seconds until the peer must have begun its handshake, 0-600; ten times as many may pass until it is complete. \
         0 means no limit. When the time is over the connection is reset.",
    )
    .or("10"),
    row(
        "Negotiate",
        Kind::Choice(&["ftp", "smtp", "imap", "pop3", "postgres", "ldap"]),
        "Protocol whose upgrade to TLS (AUTH TLS, STARTTLS, STLS, SSLRequest) is spoken in the program's stead, with \
         clients and with servers; the program goes on in clear text as if there were none. With ftp, data connections \
         are secondary ones as under SecondaryMap, and protected.",
    )
    .quiet()
    .ours(),
    row(
        "MaxConnections",
        ANY_NUMBER,
        "Connections that may be up at a time, of all rules with the same actions; more are reset. 0 means no limit.",
    )
    .or("0")
    .quiet()
    .ours(),
    row(
        "MaxHandshakesPerSecond",
        ANY_NUMBER,
        "Handshakes that may begin in a second, of all rules with the same actions; more are reset. 0 means no limit.",
    )
    .or("0")
    .quiet()
    .ours(),
    row(
        "ClientAuthType",
        Kind::Choice(&["PassThru", "Full", "Required", "SAFCheck"]),
        "Client certificates under ServerWithClientAuth: PassThru checks none, Full checks one that \
         comes, Required demands one, SAFCheck also a user id for it.",
    )
    .or("Required")
    .environment(),
    row(
        "SAFCheckResource",
        Kind::Resource,
        "With ClientAuthType SAFCheck: what a resource of class SERVAUTH begins with, to which the user of a client's \
         certificate needs READ. The local port is added to it: EZB.TN3270.SYSA.TCPIP asks for \
         EZB.TN3270.SYSA.TCPIP.PORT00992.",
    )
    .environment()
    .quiet()
    .ours(),
    row(
        "ResetCipherTimer",
        Kind::Number(0, 1440),
        "Minutes after which a connection's keys are renewed, 0-1440; 0 means never. TLS 1.3 renews them by KeyUpdate, \
         in both directions; TLS 1.2 connections keep their keys.",
    )
    .or("0"),
    row(
        "CertificateLabel",
        Kind::Line { may_be_empty: true },
        "Label of the certificate that is sent. Coded without a label, a client sends none, and a \
         server the default of the key ring, as when it is not coded.",
    ),
    line(
        "ServerCertificateLabel",
        "Label of a certificate a server may send, instead of CertificateLabel. Repeat it, one \
         label for each type of key; z/OS takes four.",
    )
    .list(),
    row(
        "TruncatedHMAC",
        REQUIRED_OPTIONAL_OFF,
        "Whether record MACs are cut to 80 bits (RFC 6066): Off, Optional, or Required, where the \
         handshake fails when the peer does not agree.",
    )
    .or("Off")
    .values(&[
        ("Optional", Differs("the truncated HMAC extension is never negotiated")),
        ("Required", Refused("the truncated HMAC extension is never negotiated")),
    ]),
    row(
        "CertValidationMode",
        Kind::Choice(&["Any", "RFC2459", "RFC3280", "RFC5280"]),
        "Rules by which certificates are checked: RFC2459, RFC3280, RFC5280, or Any, which tries \
         them in this order.",
    )
    .or("RFC5280")
    .ibm("Any")
    .environment()
    .differs("certificates are always checked by RFC 5280"),
    row(
        "ServerMaxSSLFragment",
        REQUIRED_OPTIONAL_OFF,
        "Whether a server grants records shorter than 16 KB (RFC 6066): Off, Optional, or Required, \
         where clients that do not ask for them are refused.",
    )
    .or("Off")
    .values(&[("Optional", Differs(NO_FRAGMENT)), ("Required", Refused(NO_FRAGMENT))]),
    row(
        "ClientMaxSSLFragment",
        REQUIRED_OPTIONAL_OFF,
        "Whether a client asks for records shorter than 16 KB (RFC 6066): Off, Optional, or \
         Required, where the handshake fails when the server declines.",
    )
    .or("Off")
    .values(&[("Required", Refused(NO_FRAGMENT))]),
    row(
        "ClientMaxSSLFragmentLength",
        Kind::Choice(&["512", "1024", "2048", "4096"]),
        "Longest record in bytes that a client asks for: 512, 1024, 2048 or 4096. Needed unless \
         ClientMaxSSLFragment is Off.",
    ),
    row(
        "ServerHandshakeSNI",
        REQUIRED_OPTIONAL_OFF,
        "Whether a server looks at the name a client sends (SNI): Off, Optional, or Required, where \
         clients that send none are refused.",
    )
    .or("Off"),
    row(
        "ServerHandshakeSNIMatch",
        Kind::Choice(&["Required", "Optional"]),
        "Whether a client that sends a name not in ServerHandshakeSNIList is refused (Required) or \
         served all the same (Optional, also when it is not coded).",
    ),
    row(
        "ServerHandshakeSNIList",
        Kind::NameAndLabel,
        "Server name and the label of the certificate sent for it, written name/label. May be \
         repeated; several labels of one name are for keys of different types.",
    )
    .list(),
    row(
        "ClientHandshakeSNI",
        REQUIRED_OPTIONAL_OFF,
        "Whether a client names the server it wants (SNI): Off, Optional, or Required, where the \
         handshake fails when the server does not answer to it.",
    )
    .or("Off")
    .values(&[("Required", Refused(NO_SNI_ANSWER))]),
    row(
        "ClientHandshakeSNIMatch",
        Kind::Choice(&["Required", "Optional"]),
        "Whether a server that does not know the name a client sends ends the handshake (Required) \
         or not (Optional).",
    )
    .values(&[
        ("Optional", Differs("a server's answer to the name is not looked at")),
        ("Required", Refused(NO_SNI_ANSWER)),
    ]),
    dns_name("ClientHandshakeSNIList", "Server name a client sends in SNI. May be repeated; the first is sent.").list(),
    row(
        "ClientExtendedMasterSecret",
        Kind::Choice(&["On", "Off", "Required"]),
        "Extended master secret (RFC 7627) as TLS 1.2 client: On offers it, Off does not, Required \
         refuses servers without it.",
    )
    .or("On")
    .environment()
    .values(&[("Off", Differs(NO_EMS_OFF))]),
    row(
        "ServerExtendedMasterSecret",
        Kind::Choice(&["On", "Off", "Required"]),
        "Extended master secret (RFC 7627) as TLS 1.2 server: On accepts it, Off does not, Required \
         refuses clients without it.",
    )
    .or("On")
    .environment()
    .values(&[("Off", Differs(NO_EMS_OFF))]),
    row(
        "Renegotiation",
        Kind::Choice(&["Default", "Disabled", "All", "Abbreviated"]),
        "Renegotiation before TLS 1.3: Default allows the secure kind (RFC 5746), Disabled none, \
         All also the old kind, Abbreviated the old kind only to resume.",
    )
    .or("Disabled")
    .ibm("Default")
    .environment()
    .differs(NO_RENEGOTIATION),
    row(
        "RenegotiationIndicator",
        Kind::Choice(&["Optional", "Client", "Server", "Both"]),
        "Who must indicate secure renegotiation (RFC 5746) in the first handshake: the Client, the \
         Server, Both, or nobody (Optional).",
    )
    .or("Optional")
    .environment()
    .refused(
        "peers without RFC 5746 cannot be told from others; as renegotiation is always refused, \
         code Optional",
    ),
    row(
        "RenegotiationCertCheck",
        ON_OFF,
        "On refuses a renegotiation in which the peer shows another certificate than before.",
    )
    .or("Off")
    .environment()
    .idle(NO_RENEGOTIATION),
    row(
        "3DesKeyCheck",
        ON_OFF,
        "On checks that the three parts of a Triple DES key differ; in FIPS mode they are always \
         checked.",
    )
    .or("Off")
    .environment()
    .idle("3DES is never negotiated"),
    row(
        "ClientEDHGroupSize",
        Kind::Choice(&["Legacy", "2048"]),
        "Smallest ephemeral Diffie-Hellman group a client accepts: 2048 bits, or Legacy for the \
         former, lower limit.",
    )
    .or("Legacy")
    .environment()
    .idle(NO_DHE),
    row(
        "ServerEDHGroupSize",
        Kind::Choice(&["Legacy", "2048", "Match"]),
        "Ephemeral Diffie-Hellman group of a server: 2048 bits, Match for one as strong as its \
         certificate's key, or Legacy for the former sizes.",
    )
    .or("Legacy")
    .environment()
    .idle(NO_DHE),
    row("PeerMinCertVersion", Kind::Choice(&["Any", "3"]), "Lowest X.509 version of a peer's certificate: 3, or Any.")
        .or("3")
        .ibm("Any")
        .environment()
        .differs("certificates of version 1 or 2 are never accepted"),
    row(
        "PeerMinDHKeySize",
        Kind::Number(0, 2048),
        "Shortest fixed Diffie-Hellman key of a peer's certificate that is accepted, in bits, \
         0-2048.",
    )
    .or("1024")
    .environment()
    .idle(NO_DHE),
    row(
        "PeerMinDsaKeySize",
        Kind::Number(0, 2048),
        "Shortest DSA key of a peer's certificate that is accepted, in bits, 0-2048.",
    )
    .or("1024")
    .environment()
    .idle(NO_DSA),
    row(
        "PeerMinECCKeySize",
        Kind::Number(0, 521),
        "Shortest elliptic curve key of a peer's certificate that is accepted, in bits, 0-521.",
    )
    .or("256")
    .ibm("192")
    .environment()
    .minimum(256, "EC keys below 256 bits are never accepted"),
    row(
        "PeerMinRsaKeySize",
        Kind::Number(0, 4096),
        "Shortest RSA key of a peer's certificate that is accepted, in bits, 0-4096.",
    )
    .or("2048")
    .ibm("1024")
    .environment()
    .minimum(2048, "RSA keys below 2048 bits are never accepted"),
    row(
        "ServerScsv",
        ON_OFF,
        "On makes a server refuse clients that fell back to an older TLS version though both could \
         do a newer one (TLS_FALLBACK_SCSV, RFC 7507).",
    )
    .or("Off")
    .environment()
    .differs(
        "the fallback signal (RFC 7507) is not looked at; TLS 1.3's own downgrade protection is \
         always there",
    ),
    dns_name(
        "HostReferenceIdDNS",
        "DNS name that a server's certificate must carry as subjectAltName; the handshake of a \
         client fails without. May be repeated: one must match.",
    )
    .list(),
    line(
        "HostReferenceIdCN",
        "Name that the common name of a server's certificate must equal when it has no DNS \
         subjectAltName. May be repeated: one must match.",
    )
    .list(),
    row(
        "HostRefWildcardValidation",
        ON_OFF,
        "Whether a wildcard in the names of a server's certificate (*.example.com) may match \
         HostReferenceIdDNS and HostReferenceIdCN.",
    )
    .or("Off")
    .quiet(),
    row(
        "HandshakeCacheCapacity",
        Kind::Number(0, 1_000_000),
        "Sessions kept for resumption, 0-1000000; 0 turns resumption off. Takes the place of \
         GSK_V3_SIDCACHE_SIZE.",
    )
    .ours(),
    row(
        "HandshakeCacheTimeout",
        Kind::Number(1, 86_400),
        "Seconds a session or ticket may be resumed, 1-86400. Takes the place of \
         GSK_V3_SESSION_TIMEOUT and GSK_SESSION_TICKET_SERVER_TIMEOUT.",
    )
    .ours(),
    row(
        "FIPSMODE",
        Kind::FipsMode,
        "FIPS 140-3, written 140-3 [INDICATE] [FAIL ON|OFF]: INDICATE reports what is not approved, \
         FAIL ON (assumed) refuses it, FAIL OFF goes on.",
    )
    .ours(),
];

/// Every statement.
pub const STATEMENTS: &[Statement] = &[
    rule(
        "TTLSRule",
        "Names connections by their ends, owner and direction, and the actions that say how TLS is \
         done for them. The first rule that matches in order of priority decides.",
        &[
            row(
                "Direction",
                DIRECTION,
                "Who opened the connection: Inbound, a peer connected to this host; Outbound, this host \
                 connected; Both. Required.",
            )
            .required(),
            reference(
                "TTLSGroupActionRef",
                "TTLSGroupAction",
                "Name of the TTLSGroupAction, which says whether matching connections use TLS at all. \
                 Required.",
            )
            .required(),
            reference(
                "TTLSEnvironmentActionRef",
                "TTLSEnvironmentAction",
                "Name of the TTLSEnvironmentAction with handshake role and key ring. Required when the \
                 group action says TTLSEnabled On.",
            ),
            reference(
                "TTLSConnectionActionRef",
                "TTLSConnectionAction",
                "Name of a TTLSConnectionAction whose values take the place of the environment action's and \
                 the group action's.",
            ),
        ],
    ),
    top(
        "TTLSGroupAction",
        "Switches TLS on or off for the rules that refer to it, and sets tracing and FIPS 140 for \
         all their connections.",
        &[
            row(
                "TTLSEnabled",
                ON_OFF,
                "On protects matching connections with TLS; Off leaves them in clear text, and no rule of \
                 lower priority is looked at. Required.",
            )
            .required(),
            row(
                "CtraceClearText",
                ON_OFF,
                "Whether packet and data traces show the decrypted data of protected connections.",
            )
            .or("Off")
            .differs(NO_TRACE),
            row(
                "Trace",
                Kind::Number(0, 255),
                "Which messages are written, a sum of 1 error to the job log, 2 error, 4 info, 8 event, 16 \
                 flow, 32 data to syslog; 0-255, 0 none.",
            )
            .or("2"),
            row(
                "FIPS140",
                Kind::Choice(&["Off", "On", "Level1", "Level2", "Level3"]),
                "FIPS 140 mode: On and Level1 demand 80-bit strength, Level2 112-bit for what is newly \
                 made, Level3 112-bit throughout.",
            )
            .or("Off"),
            row(
                "FIPSMODE",
                Kind::FipsMode,
                "FIPS 140-3, written 140-3 [INDICATE] [FAIL ON|OFF]: INDICATE reports what is not approved, \
                 FAIL ON (assumed) refuses it, FAIL OFF goes on.",
            )
            .ours(),
            row(
                "FailMode",
                Kind::Choice(&["Closed", "Open"]),
                "What becomes of connections while the daemon is not there: Closed refuses them, Open lets them pass in \
                 clear text, as z/OS does.",
            )
            .or("Closed")
            .quiet()
            .ours(),
            inline(
                "TTLSGroupAdvancedParms",
                "Secondary connections, syslog facility and environment file, written in place.",
            ),
            reference(
                "TTLSGroupAdvancedParmsRef",
                "TTLSGroupAdvancedParms",
                "Name of the TTLSGroupAdvancedParms statement that belongs to the group.",
            ),
            row(
                "GroupUserInstance",
                Kind::Number(0, 65_535),
                "Number, 0-65535. A changed number makes a new group at the next refresh though nothing \
                 else changed; open connections keep the old one.",
            )
            .idle("a refresh reads everything anew"),
        ],
    ),
    top(
        "TTLSEnvironmentAction",
        "Handshake role, key ring, cipher suites and other TLS settings. Connections under one \
         environment share its keys and session cache.",
        &[
            row(
                "HandshakeRole",
                ROLE,
                "Client, Server, or ServerWithClientAuth (a server that asks for the client's certificate), \
                 whoever opened the connection. Required.",
            )
            .required(),
            row(
                "CtraceClearText",
                ON_OFF,
                "Whether traces show decrypted data; takes the place of the group action's value.",
            )
            .or("Off")
            .quiet()
            .differs(NO_TRACE),
            row(
                "Trace",
                Kind::Number(0, 255),
                "Which messages are written, 0-255; takes the place of the group action's value.",
            ),
            row(
                "SuiteBProfile",
                Kind::Choice(&["Off", "128", "128Min", "192", "192Min", "All"]),
                "Suite B: 128, 128Min, 192, 192Min or All allow TLS 1.2 only, with the profile's own \
                 suites; TTLSCipherParms is then ignored. Off: no profile.",
            )
            .or("Off")
            .refused("Suite B profiles are not implemented; code the suites and groups"),
            inline(
                "TTLSKeyringParms",
                "Key ring with certificates, keys and trusted authorities, written in place. Required, here \
                 or by reference.",
            ),
            reference(
                "TTLSKeyringParmsRef",
                "TTLSKeyringParms",
                "Name of the TTLSKeyringParms statement with the key ring. Required unless the key ring is \
                 written in place.",
            ),
            inline(
                "TTLSEnvironmentAdvancedParms",
                "TLS versions, timeouts, certificate labels and extensions, written in place.",
            ),
            reference(
                "TTLSEnvironmentAdvancedParmsRef",
                "TTLSEnvironmentAdvancedParms",
                "Name of the TTLSEnvironmentAdvancedParms statement that belongs to the environment.",
            ),
            inline("TTLSSignatureParms", "Curves, key share groups and signature algorithms, written in place."),
            reference(
                "TTLSSignatureParmsRef",
                "TTLSSignatureParms",
                "Name of the TTLSSignatureParms statement with curves, key share groups and signature \
                 algorithms.",
            ),
            inline(
                "TTLSCipherParms",
                "Cipher suites in order of preference, written in place. Without it the default list is \
                 used.",
            ),
            reference(
                "TTLSCipherParmsRef",
                "TTLSCipherParms",
                "Name of the TTLSCipherParms statement with the cipher suites.",
            ),
            inline("TTLSGskAdvancedParms", "Session caches, tickets and revocation checking, written in place."),
            reference(
                "TTLSGskAdvancedParmsRef",
                "TTLSGskAdvancedParms",
                "Name of the TTLSGskAdvancedParms statement with session caches, tickets and revocation \
                 checking.",
            ),
            row(
                "EnvironmentUserInstance",
                Kind::Number(0, 65_535),
                "Number, 0-65535. A changed number makes a new environment at the next refresh, which reads \
                 the key ring again; open connections keep the old one.",
            ),
        ],
    ),
    top(
        "TTLSConnectionAction",
        "Settings for some connections of an environment. What it codes takes the place of the \
         environment action's and the group action's values.",
        &[
            row(
                "HandshakeRole",
                ROLE,
                "Client, Server or ServerWithClientAuth; takes the place of the environment action's role.",
            ),
            row(
                "CtraceClearText",
                ON_OFF,
                "Whether traces show decrypted data; takes the place of the environment action's and the \
                 group action's value.",
            )
            .or("Off")
            .quiet()
            .differs(NO_TRACE),
            row(
                "Trace",
                Kind::Number(0, 255),
                "Which messages are written, 0-255; takes the place of the environment action's and the \
                 group action's value.",
            ),
            inline(
                "TTLSConnectionAdvancedParms",
                "TLS versions, timeouts, certificate labels and extensions for these connections, written \
                 in place.",
            ),
            reference(
                "TTLSConnectionAdvancedParmsRef",
                "TTLSConnectionAdvancedParms",
                "Name of the TTLSConnectionAdvancedParms statement that belongs to the connection action.",
            ),
            inline(
                "TTLSSignatureParms",
                "Curves, key share groups and signature algorithms for these connections, written in place.",
            ),
            reference(
                "TTLSSignatureParmsRef",
                "TTLSSignatureParms",
                "Name of the TTLSSignatureParms statement for these connections.",
            ),
            inline(
                "TTLSCipherParms",
                "Cipher suites for these connections, written in place; the environment action's list is \
                 then not used.",
            ),
            reference(
                "TTLSCipherParmsRef",
                "TTLSCipherParms",
                "Name of the TTLSCipherParms statement for these connections; the environment action's list \
                 is then not used.",
            ),
            row(
                "ConnectionUserInstance",
                Kind::Number(0, 65_535),
                "Number, 0-65535. A changed number makes a new connection action at the next refresh; open \
                 connections keep the old one.",
            )
            .idle("a refresh reads everything anew"),
        ],
    ),
    either(
        "TTLSGroupAdvancedParms",
        "Less common settings of a TTLSGroupAction.",
        &[
            row(
                "SecondaryMap",
                ON_OFF,
                "On lets further connections of the same process with the same peer address use the primary \
                 connection's policy (FTP data connections).",
            )
            .or("Off"),
            row(
                "SyslogFacility",
                Kind::Choice(&["Daemon", "Auth"]),
                "Syslog facility of trace messages: Daemon or Auth.",
            )
            .or("Daemon")
            .idle("messages go to the daemon's log (the systemd journal)"),
            word(
                "Envfile",
                "File or data set with environment variables of System SSL (GSK_...) for the group: versions, cipher suites, \
                 groups, signature pairs, and what TTLSGskAdvancedParms calls by the same name. They count where nothing is coded.",
            ),
        ],
    ),
    either("TTLSEnvironmentAdvancedParms", "Less common settings of a TTLSEnvironmentAction.", ADVANCED),
    either(
        "TTLSConnectionAdvancedParms",
        "Less common settings of a TTLSConnectionAction; what is coded takes the place of the \
         environment's value.",
        ADVANCED,
    ),
    either(
        "TTLSKeyringParms",
        "Where an environment finds its certificates, private keys and trusted authorities.",
        &[
            line(
                "Keyring",
                "Key ring: OWNER/RING, RING alone for a ring of the user the environment runs as, or a \
                 path. z/OS also takes PKCS#11 tokens, *TOKEN*/name. Required.",
            )
            .required(),
            line("KeyringPw", "Password of the PKCS#12 files in the key ring.").secret(),
            word("KeyringStashFile", "File that holds the key database's password in System SSL's stash format.")
                .refused("stash files are a System SSL format; use KeyringPw or a PEM file"),
        ],
    ),
    either(
        "TTLSCipherParms",
        "Cipher suites in order of preference. Repeated lines add to the list; of equal entries the \
         first counts.",
        &[
            row(
                "V2CipherSuites",
                Kind::OldSuites,
                "SSL 2.0 suites: codes of one digit without blanks, or one constant name; ten at most. May \
                 be repeated.",
            )
            .list()
            .differs(NO_OLD_VERSION),
            row(
                "V3CipherSuites",
                Kind::Suites(2),
                "SSL 3.0 to TLS 1.3 suites: codes of two hexadecimal digits without blanks, or one constant \
                 name. May be repeated.",
            )
            .list(),
            row(
                "V3CipherSuites4Char",
                Kind::Suites(4),
                "SSL 3.0 to TLS 1.3 suites: codes of four hexadecimal digits without blanks (1302C030), or \
                 one constant name. May be repeated.",
            )
            .list(),
        ],
    ),
    either(
        "TTLSSignatureParms",
        "Elliptic curves, key share groups and signature algorithms. Group numbers are decimal \
         (0023 is secp256r1), signature pairs hexadecimal.",
        &[
            row(
                "ClientECurves",
                Kind::Groups { any: true },
                "Curves a client offers, in order: numbers of four decimal digits without blanks, one \
                 constant name, or Any alone. May be repeated. Uncoded, TLSv1.3 On adds 0029.",
            )
            .ibm("0021 0023 0024 0025 0019 0029")
            .list(),
            row(
                "ClientKeyShareGroups",
                Kind::Groups { any: false },
                "Groups for which a client sends a key share in its TLS 1.3 hello: numbers of four decimal \
                 digits without blanks. May be repeated.",
            )
            .ibm("0023")
            .list(),
            row(
                "ServerKeyShareGroups",
                Kind::Groups { any: false },
                "Groups a server accepts in TLS 1.3, in order: numbers of four decimal digits without \
                 blanks. May be repeated. Environment only.",
            )
            .ibm("0023 0024 0025 0029 0030")
            .list()
            .environment(),
            row(
                "ServerKexECurves",
                Kind::Groups { any: false },
                "Curves a server uses for ECDHE up to TLS 1.2, in order: numbers of four decimal digits \
                 without blanks. May be repeated. Environment only.",
            )
            .ibm("0023 0024 0025 0021 0019")
            .list()
            .environment(),
            row(
                "SignaturePairs",
                Kind::SignaturePairs,
                "Signature algorithms accepted in handshakes, in order: pairs of hash and signature, four \
                 hexadecimal digits each, or one constant name. Repeatable. Uncoded, \
                 all that the engine verifies count.",
            )
            .ibm("0601 0603 0501 0503 0401 0403 0402 0301 0303 0302 0201 0203 0202 0806 0805 0804")
            .list(),
            row(
                "SignaturePairsCert",
                Kind::SignaturePairs,
                "Signature algorithms accepted in certificates, in order, written as SignaturePairs. \
                 Uncoded, SignaturePairs holds for certificates too.",
            )
            .list(),
        ],
    ),
    either(
        "TTLSGskAdvancedParms",
        "Session caches, session tickets and certificate revocation of an environment (System SSL's \
         settings).",
        &[
            row(
                "GSK_SYSPLEX_SIDCACHE",
                ON_OFF,
                "Whether servers on several hosts share the cache of sessions up to TLS 1.2.",
            )
            .or("Off")
            .quiet()
            .differs(NO_SYSPLEX),
            row(
                "GSK_SYSPLEX_SESSION_TICKET_CACHE",
                ON_OFF,
                "Whether servers on several hosts share what they need to accept each other's TLS 1.3 \
                 session tickets.",
            )
            .or("Off")
            .quiet()
            .differs(NO_SYSPLEX),
            row("GSK_V2_SESSION_TIMEOUT", Kind::Number(0, 100), "Seconds an SSL 2.0 session may be resumed, 0-100.")
                .or("100")
                .quiet()
                .idle(NO_OLD_VERSION),
            row(
                "GSK_V2_SIDCACHE_SIZE",
                Kind::Number(0, 32_000),
                "SSL 2.0 sessions kept for resumption, 0-32000; 0 keeps none.",
            )
            .or("256")
            .quiet()
            .idle(NO_OLD_VERSION),
            row("GSK_V3_SESSION_TIMEOUT", Kind::Number(0, 86_400), "Seconds a session may be resumed, 0-86400.")
                .or("86400"),
            row(
                "GSK_V3_SIDCACHE_SIZE",
                Kind::Number(0, 64_000),
                "Sessions kept for resumption, 0-64000; 0 turns resumption off.",
            )
            .or("512"),
            row(
                "GSK_SESSION_TICKET_CLIENT_ENABLE",
                ON_OFF,
                "Whether clients keep TLS 1.3 session tickets and resume sessions with them.",
            )
            .or("On"),
            row(
                "GSK_SESSION_TICKET_CLIENT_MAXSIZE",
                ANY_NUMBER,
                "Longest session ticket in bytes that a client keeps.",
            )
            .or("8192")
            .idle("tickets of any size a handshake can carry are kept"),
            row("GSK_SESSION_TICKET_CLIENT_MAXCACHED", Kind::Number(0, 1_000_000), "Session tickets a client keeps.")
                .quiet()
                .idle("GSK_V3_SIDCACHE_SIZE bounds all sessions of a client"),
            row(
                "GSK_SESSION_TICKET_SERVER_ENABLE",
                ON_OFF,
                "Whether servers send TLS 1.3 session tickets and resume sessions with them.",
            )
            .or("On"),
            row(
                "GSK_SESSION_TICKET_SERVER_ALGORITHM",
                Kind::Choice(&["AESCBC128", "AESCBC256"]),
                "Cipher with which a server seals its tickets: AESCBC128 or AESCBC256.",
            )
            .or("AESCBC256")
            .ibm("AESCBC128")
            .differs("tickets are always sealed with AES-256-CBC and HMAC-SHA-256 (RFC 5077 section 4)"),
            row(
                "GSK_SESSION_TICKET_SERVER_COUNT",
                Kind::Number(0, 32),
                "Session tickets a server sends after a full TLS 1.3 handshake.",
            )
            .or("2"),
            row(
                "GSK_SESSION_TICKET_SERVER_KEY_REFRESH",
                Kind::Number(1, 86_400),
                "Seconds after which a server makes a new key for sealing tickets.",
            )
            .or("300"),
            row(
                "GSK_SESSION_TICKET_SERVER_TIMEOUT",
                Kind::Number(1, 604_800),
                "Seconds a server honours a ticket it sent.",
            )
            .or("300"),
            row(
                "AIACDPPriority",
                ON_OFF,
                "Where revocation is looked up first: On, the responders a certificate names (OCSP); Off, \
                 its CRL distribution points.",
            )
            .or("On")
            .quiet(),
            row(
                "MaxSrcRevExtLocValues",
                Kind::Number(0, 256),
                "Locations from a certificate's extensions that are asked for revocation from one kind of \
                 source, 0-256; 0 means no limit.",
            )
            .or("10")
            .quiet(),
            row(
                "MaxValidRevExtLocValues",
                Kind::Number(0, 1024),
                "Locations from certificate extensions that are asked for revocation in one validation, \
                 0-1024; 0 means no limit.",
            )
            .or("100")
            .quiet(),
            row(
                "RevocationSecurityLevel",
                LEVEL,
                "When OCSP and HTTP give no answer: Low accepts the certificate, Medium only when a source \
                 could be reached, High rejects it.",
            )
            .or("Medium")
            .quiet(),
            line(
                "CrlFile",
                "File of certificate revocation lists (PEM or DER), or directory of such files. May be \
                 repeated; looked at before any network source.",
            )
            .list()
            .quiet()
            .ours(),
            row(
                "CrlSigAlgPairs",
                Kind::SignaturePairs,
                "Signature algorithms accepted in CRLs, written as SignaturePairs. May be repeated.",
            )
            .list()
            .quiet(),
            inline("TTLSGskLdapParms", "Revocation lists from LDAP servers, written in place."),
            reference(
                "TTLSGskLdapParmsRef",
                "TTLSGskLdapParms",
                "Name of the TTLSGskLdapParms statement with the LDAP servers for revocation lists.",
            ),
            inline("TTLSGskHttpCdpParms", "Revocation lists fetched by HTTP, written in place."),
            reference(
                "TTLSGskHttpCdpParmsRef",
                "TTLSGskHttpCdpParms",
                "Name of the TTLSGskHttpCdpParms statement for revocation lists fetched by HTTP.",
            ),
            inline("TTLSGskOcspParms", "Revocation checking by OCSP, written in place."),
            reference(
                "TTLSGskOcspParmsRef",
                "TTLSGskOcspParms",
                "Name of the TTLSGskOcspParms statement for revocation checking by OCSP.",
            ),
        ],
    ),
    either(
        "TTLSGskLdapParms",
        "LDAP servers from which certificate revocation lists are fetched.",
        &[
            word(
                "GSK_LDAP_SERVER",
                "LDAP server, host or host:port, that is asked for revocation lists. Repeat it for servers \
                 that are tried in turn.",
            )
            .list()
            .refused(NO_LDAP),
            row("GSK_LDAP_SERVER_PORT", Kind::Number(1, 65_535), "Port of LDAP servers named without one, 1-65535.")
                .or("389")
                .idle(NO_LDAP_SOURCE),
            line(
                "GSK_LDAP_USER",
                "Distinguished name for the bind to the LDAP server. Uncoded, the bind is anonymous.",
            )
            .idle(NO_LDAP_SOURCE),
            line("GSK_LDAP_USER_PW", "Password for the bind to the LDAP server; goes with GSK_LDAP_USER.")
                .secret()
                .idle(NO_LDAP_SOURCE),
            row(
                "GSK_CRL_CACHE_TIMEOUT",
                Kind::Number(0, 720),
                "Hours a revocation list stays in the cache, 0-720; 0 keeps none.",
            )
            .or("24")
            .idle(NO_LDAP_SOURCE),
            row(
                "GSK_CRL_SECURITY_LEVEL",
                LEVEL,
                "When LDAP has no revocation list: Low accepts the certificate, Medium only when the server \
                 could be reached, High rejects it.",
            )
            .or("Medium")
            .idle(NO_LDAP_SOURCE),
            row("CRLCacheSize", Kind::Limit(32_000), "CRLs kept, 0-32000; -1 means no limit.")
                .or("32")
                .idle(NO_LDAP_SOURCE),
            row(
                "CRLCacheEntryMaxsize",
                ANY_NUMBER,
                "Largest revocation list in bytes that the LDAP cache keeps; 0 means no limit.",
            )
            .or("0")
            .idle(NO_LDAP_SOURCE),
            row(
                "CRLCacheExtended",
                ON_OFF,
                "On keeps each revocation list until it expires; Off empties the whole cache after \
                 GSK_CRL_CACHE_TIMEOUT.",
            )
            .or("Off")
            .idle(NO_LDAP_SOURCE),
            row(
                "CRLCacheTempCRL",
                ON_OFF,
                "Whether an empty revocation list is kept when the LDAP server has none, so that it is not \
                 asked again at once.",
            )
            .or("Off")
            .idle(NO_LDAP_SOURCE),
            row(
                "CRLCacheTempCRLTimeout",
                Kind::Number(0, 720),
                "Hours that an empty revocation list made for CRLCacheTempCRL is kept.",
            )
            .or("24")
            .idle(NO_LDAP_SOURCE),
            row(
                "LDAPResponseTimeout",
                Kind::Number(0, 43_200),
                "Seconds to wait for an LDAP server's answer, 0-43200; 0 means no limit.",
            )
            .or("15")
            .idle(NO_LDAP_SOURCE),
        ],
    ),
    either(
        "TTLSGskHttpCdpParms",
        "Certificate revocation lists fetched by HTTP from the distribution points that \
         certificates name.",
        &[
            row(
                "HttpCdpEnable",
                ON_OFF,
                "Whether revocation lists are fetched by HTTP from the distribution points that \
                 certificates name.",
            )
            .or("Off"),
            word(
                "HttpCdpProxyServerName",
                "Host name or address of the HTTP proxy through which revocation lists are fetched.",
            ),
            row(
                "HttpCdpProxyServerPort",
                Kind::Number(1, 65_535),
                "Port of the HTTP proxy for revocation lists, 1-65535.",
            )
            .or("80"),
            row(
                "HttpCdpResponseTimeout",
                Kind::Number(0, 43_200),
                "Seconds to wait for a revocation list, 0-43200; 0 means no limit.",
            )
            .or("15"),
            row(
                "HttpCdpMaxResponseSize",
                ANY_NUMBER,
                "Longest revocation list in bytes that is accepted; 0 means no limit.",
            )
            .or("204800"),
            row(
                "HttpCdpCacheSize",
                Kind::Number(0, 32_000),
                "Revocation lists kept in the HTTP cache, 0-32000; 0 keeps none.",
            )
            .or("32"),
            row(
                "HttpCdpCacheEntryMaxsize",
                ANY_NUMBER,
                "Largest revocation list in bytes that the HTTP cache keeps; 0 means no limit.",
            )
            .or("0"),
        ],
    ),
    either(
        "TTLSGskOcspParms",
        "Certificate revocation checking by the Online Certificate Status Protocol.",
        &[
            word(
                "OcspUrl",
                "http URL of a responder that is asked about every certificate, whether the certificate \
                 names one or not; at most 2083 characters.",
            ),
            row(
                "OcspAiaEnable",
                ON_OFF,
                "Whether the responders that certificates name in their AIA extension are asked.",
            )
            .or("Off"),
            word("OcspProxyServerName", "Host name or address of the HTTP proxy through which responders are reached."),
            row("OcspProxyServerPort", Kind::Number(1, 65_535), "Port of the HTTP proxy for OCSP, 1-65535.").or("80"),
            row("OcspRetrieveViaGet", ON_OFF, "Whether requests are sent by HTTP GET; Off uses POST.").or("Off"),
            row(
                "OcspUrlPriority",
                ON_OFF,
                "When OcspUrl and OcspAiaEnable are both in use: On asks OcspUrl first, Off the responders \
                 the certificate names.",
            )
            .or("On"),
            line(
                "OcspRequestSigkeylabel",
                "Label of the certificate in the key ring whose key signs OCSP requests. Uncoded, requests \
                 are not signed.",
            )
            .differs(NO_SIGNED_REQUEST),
            row(
                "OcspRequestSigalg",
                Kind::SignaturePairs,
                "Algorithm with which OCSP requests are signed: hash and signature as four hexadecimal \
                 digits, or a constant name.",
            )
            .or("0401")
            .idle(NO_SIGNED_REQUEST),
            row(
                "OcspResponseSigAlgPairs",
                Kind::SignaturePairs,
                "Signature algorithms accepted in responses, written as SignaturePairs. May be repeated.",
            )
            .list(),
            row("OcspClientCacheSize", Kind::Number(0, 32_000), "Responses kept in the cache, 0-32000; 0 keeps none.")
                .or("256"),
            row(
                "OcspCliCacheEntryMaxsize",
                Kind::Number(0, 32_000),
                "Responses kept in the cache for one issuer, 0-32000; 0 means no limit but \
                 OcspClientCacheSize.",
            )
            .or("0")
            .idle("the whole cache is bounded, by OcspClientCacheSize"),
            row(
                "OcspNonceGenEnable",
                ON_OFF,
                "Whether requests carry a nonce, so that an old response cannot be played back.",
            )
            .or("Off"),
            row(
                "OcspNonceCheckEnable",
                ON_OFF,
                "Whether a response must repeat the request's nonce; needs OcspNonceGenEnable On.",
            )
            .or("Off"),
            row("OcspNonceSize", Kind::Number(8, 256), "Bytes of the nonce, 8-256.").or("8"),
            row(
                "OcspResponseTimeout",
                Kind::Number(0, 43_200),
                "Seconds to wait for a responder, 0-43200; 0 means no limit.",
            )
            .or("15"),
            row("OcspMaxResponseSize", ANY_NUMBER, "Longest response in bytes that is accepted; 0 means no limit.")
                .or("20480"),
            row(
                "OcspServerStapling",
                Kind::Choice(&["Off", "Any", "EndEntity"]),
                "Whether a server sends OCSP responses in the handshake: Off, EndEntity for its own \
                 certificate, Any for its whole chain.",
            )
            .or("Off")
            .values(&[(
                "Any",
                Differs("the response for the server's own certificate is sent; TLS 1.3 would take more"),
            )]),
        ],
    ),
    either(
        "IpAddr",
        "One address under a name. IPv4-mapped IPv6 addresses are not allowed.",
        &[row("Addr", Kind::Prefix, "An address, or an address/prefix.").required()],
    ),
    either(
        "IpAddrSet",
        "A prefix or a range of addresses under a name.",
        &[
            row(
                "Prefix",
                Kind::Prefix,
                "All addresses with this prefix, written address/length; without a length, one address.",
            ),
            row(
                "Range",
                Kind::Range,
                "All addresses from the first to the last, written address-address, both included and of \
                 one family.",
            ),
        ],
    ),
    top(
        "IpAddrGroup",
        "Addresses and sets under a name; an address belongs to the group when it is in any member.",
        &[
            inline("IpAddr", "A member address, written in place. May be repeated.").list(),
            reference("IpAddrRef", "IpAddr", "Name of an IpAddr statement that is a member. May be repeated.").list(),
            inline("IpAddrSet", "A member prefix or range, written in place. May be repeated.").list(),
            reference("IpAddrSetRef", "IpAddrSet", "Name of an IpAddrSet statement that is a member. May be repeated.")
                .list(),
        ],
    ),
    either(
        "PortRange",
        "A port or a range of ports under a name.",
        &[row("Port", Kind::Ports, "A port 1-65535, or a range n-m, both included. Required.").required()],
    ),
    top(
        "PortGroup",
        "Port ranges under a name; a port belongs to the group when it is in any member.",
        &[
            inline("PortRange", "A member port or range, written in place. May be repeated.").list(),
            reference("PortRangeRef", "PortRange", "Name of a PortRange statement that is a member. May be repeated.")
                .list(),
        ],
    ),
    either(
        "IpTimeCondition",
        "When a rule is active: everything coded must hold.",
        &[
            row(
                "ConditionTimeRange",
                Kind::Dates,
                "First and last second of a period, written yyyymmddhhmmss:yyyymmddhhmmss. Uncoded, no \
                 period.",
            ),
            row("MonthOfYearMask", Kind::Mask(&[12]), "Months: 12 digits, January first; 1 active, 0 not."),
            row(
                "DayOfMonthMask",
                Kind::Mask(&[31, 62]),
                "Days of the month: 31 digits counted from the first day, or 62 with 31 more counted from \
                 the last day; 1 active, 0 not.",
            ),
            row("DayOfWeekMask", Kind::Mask(&[7]), "Days of the week: 7 digits, Sunday first; 1 active, 0 not."),
            row(
                "TimeOfDayRange",
                Kind::Clock,
                "Times of day, hh:mm-hh:mm, several parted by commas; an end at or before the start wraps \
                 around midnight. Day masks look at the day it is, also after midnight.",
            )
            .list(),
            row("TimeZone", Kind::Choice(&["Local", "UTC"]), "Clock that dates and hours are read by: Local or UTC.")
                .or("Local"),
        ],
    ),
    rule(
        "zERTPolicyRule",
        "Names connections whose protection is judged; its action says what is demanded of them. The first rule in \
         search order that is for the connection and its protection decides. Not an IBM statement.",
        &[
            row(
                "Direction",
                DIRECTION,
                "Who opened the connection: Inbound, a peer connected to this host; Outbound, this host \
                 connected; Both (assumed when not coded).",
            )
            .or("Both"),
            reference(
                "zERTProtectionRef",
                "zERTProtection",
                "Name of a zERTProtection statement: the rule is only for connections so protected. Several: any of \
                 them. Uncoded, whatever protects them, nothing included.",
            )
            .list(),
            reference(
                "zERTPolicyActionRef",
                "zERTPolicyAction",
                "Name of the zERTPolicyAction that says what is demanded and what happens below it. Required.",
            )
            .required(),
        ],
    ),
    top(
        "zERTPolicyAction",
        "What is demanded of connections, and what happens to those that fall short; without a demand, to all the \
         rule is for. What is not known of a connection does not fall short. Not an IBM statement.",
        &[
            row(
                "Action",
                Kind::Choices(&["Reset", "Log", "LogSyslogd", "LogConsole", "Audit", "Allow"]),
                "What happens to a connection that falls short: Reset ends it; LogSyslogd (Log means the same) and \
                 LogConsole write a message; Audit an SMF record. Several may be coded. Allow, alone: nothing, and no \
                 rule after it is looked at. Required.",
            )
            .list()
            .required(),
            row(
                "Hold",
                ON_OFF,
                "With Reset: On lets nothing but a handshake, and the dialogue that leads to it, through before \
                 the verdict.",
            )
            .or("Off"),
            PROTOCOL,
            row(
                "MinimumVersion",
                Kind::Choice(VERSION_WORDS),
                "Lowest version of TLS: SSLv3, TLSv1, TLSv1.1, TLSv1.2 (assumed where Protocol allows TLS) or TLSv1.3.",
            ),
            SSH_VERSION,
            CIPHER_SUITES,
            ENCRYPTION_ALGORITHM,
            ENCRYPTION_BITS,
            MESSAGE_AUTHENTICATION,
            KEY_EXCHANGE,
            KEY_EXCHANGE_GROUP,
            RSA_KEY_SIZE,
            ECC_KEY_SIZE,
            DH_KEY_SIZE,
        ],
    ),
    top(
        "zERTProtection",
        "Protections by what is known of them: everything coded must hold. What is not known does not hold. Not an \
         IBM statement.",
        &[
            PROTOCOL,
            row(
                "MinimumVersion",
                Kind::Choice(VERSION_WORDS),
                "Lowest version of TLS: SSLv3, TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3. Uncoded, any.",
            ),
            SSH_VERSION,
            CIPHER_SUITES,
            ENCRYPTION_ALGORITHM,
            ENCRYPTION_BITS,
            MESSAGE_AUTHENTICATION,
            KEY_EXCHANGE,
            KEY_EXCHANGE_GROUP,
            RSA_KEY_SIZE,
            ECC_KEY_SIZE,
            DH_KEY_SIZE,
        ],
    ),
    directive(
        "TcpImage",
        "Names a stack and the file with its policy statements. Main file only; without one the \
         main file serves the default stack. z/OS allows eight.",
        &[row(
            "TcpImage",
            Kind::Image,
            "Stack name, then the path of its image file (without one this file is meant), FLUSH or \
             NOFLUSH, PURGE or NOPURGE, and the refresh interval.",
        )
        .required()],
    ),
    directive(
        "TTLSConfig",
        "Names the stack's AT-TLS policy file. Image file only; of several lines the last counts. A \
         file with errors installs nothing.",
        &[row(
            "TTLSConfig",
            Kind::PolicyFile,
            "Path of the policy file, FLUSH or NOFLUSH, PURGE or NOPURGE. Without a path the common \
             policy alone is used.",
        )],
    ),
    directive(
        "CommonTTLSConfig",
        "Names an AT-TLS policy file shared by all stacks, read before each stack's own; on z/OS a \
         stack's statement of the same type and name wins. Main file only.",
        &[row("CommonTTLSConfig", Kind::PolicyFile, "Path of the shared policy file.").required()],
    ),
    directive(
        "zERTConfig",
        "Names the stack's zERT enforcement policy file. On z/OS its policy is always flushed at \
         the start and never purged.",
        &[row("zERTConfig", Kind::PolicyFile, "Path of the zERT policy file.").ours()],
    ),
    directive(
        "LogLevel",
        "Which messages the agent logs.",
        &[row(
            "LogLevel",
            Kind::Number(0, 511),
            "Sum of 1 SYSERR, 2 OBJERR, 4 PROTERR, 8 WARNING, 16 EVENT, 32 ACTION, 64 INFO, 128 \
             ACNTING, 256 TRACE; 0-511.",
        )
        .or("31")],
    ),
    directive(
        "Codepage",
        "Code page of the agent's configuration files.",
        &[word("Codepage", "Name of the code page.").idle("files are UTF-8 or Latin-1; convert others with iconv")],
    ),
    directive(
        "IPSecConfig",
        "Names the stack's file of IP filter and VPN policy. Image file only.",
        &[line("IPSecConfig", "Names the stack's file of IP filter and VPN policy. Image file only.")
            .idle(OTHER_POLICY)],
    ),
    directive(
        "CommonIPSecConfig",
        "Names a file of IP filter and VPN policy shared by all stacks; a stack's own statements of \
         the same name win. Main file only.",
        &[line(
            "CommonIPSecConfig",
            "Names a file of IP filter and VPN policy shared by all stacks; a stack's own statements of \
             the same name win. Main file only.",
        )
        .idle(OTHER_POLICY)],
    ),
    directive(
        "RoutingConfig",
        "Names the stack's file of policy-based routing rules. Image file only.",
        &[line("RoutingConfig", "Names the stack's file of policy-based routing rules. Image file only.")
            .idle(OTHER_POLICY)],
    ),
    directive(
        "CommonRoutingConfig",
        "Names a file of policy-based routing rules shared by all stacks, read before each stack's \
         own. Main file only.",
        &[line(
            "CommonRoutingConfig",
            "Names a file of policy-based routing rules shared by all stacks, read before each stack's \
             own. Main file only.",
        )
        .idle(OTHER_POLICY)],
    ),
    directive(
        "IDSConfig",
        "Names the stack's file of intrusion detection policy. Image file only.",
        &[line("IDSConfig", "Names the stack's file of intrusion detection policy. Image file only.")
            .idle(OTHER_POLICY)],
    ),
    directive(
        "CommonIDSConfig",
        "Names a file of intrusion detection policy shared by all stacks, read before each stack's \
         own. Main file only.",
        &[line(
            "CommonIDSConfig",
            "Names a file of intrusion detection policy shared by all stacks, read before each stack's \
             own. Main file only.",
        )
        .idle(OTHER_POLICY)],
    ),
    directive(
        "QOSConfig",
        "Names the stack's file of quality of service policy. Image file only; of several lines the \
         last counts.",
        &[line(
            "QOSConfig",
            "Names the stack's file of quality of service policy. Image file only; of several lines the \
             last counts.",
        )
        .idle(OTHER_POLICY)],
    ),
    opaque(
        "ReadFromDirectory",
        "Makes the agent fetch QoS and IDS policies from an LDAP server, in addition to those in \
         its files.",
        Engine::Refused("policies are not read from LDAP servers; code TTLSConfig"),
    ),
    opaque(
        "SetSubnetPrioTosMask",
        "Maps type-of-service bits of outgoing packets to priorities of network interfaces (QoS).",
        Engine::Idle(OTHER_POLICY),
    ),
    opaque(
        "PolicyServer",
        "Has the stack's policies fetched from a policy server; a local TTLSConfig is ignored when \
         AT-TLS is among them. Image file only.",
        Engine::Refused(LOCAL_ONLY),
    ),
    opaque(
        "ServerConnection",
        "Policy server that a policy client connects to, with a backup, ports, security and \
         retries. Main file only.",
        Engine::Refused(LOCAL_ONLY),
    ),
    opaque(
        "ClientConnection",
        "Makes the agent a policy server. Main file only.",
        Engine::Idle("this agent does not serve policies to other hosts"),
    ),
    opaque(
        "ServicesConnection",
        "Lets configuration tools connect to the agent to import policy files. Main file only.",
        Engine::Idle("there are no import services; pagent's own tools read files"),
    ),
    opaque(
        "DynamicConfigPolicyLoad",
        "Files that a policy server gives to the clients whose name fits the name or regular \
         expression after the keyword. Main file only.",
        Engine::Idle("this agent does not serve policies to other hosts"),
    ),
    opaque(
        "AutoMonitorParms",
        "How the agent watches the programs named by AutoMonitorApps, and how often it starts them \
         again. Main file only.",
        Engine::Idle("other daemons are started and watched by systemd"),
    ),
    opaque(
        "AutoMonitorApps",
        "Programs the agent starts, watches and stops: DMD, IKED, NSSD, SYSLOGD, TRMD. Main file \
         only.",
        Engine::Idle("other daemons are started and watched by systemd"),
    ),
];
