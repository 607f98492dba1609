//! GENCERT, GENREQ, REKEY, ROLLOVER: certificates that are made here.

use std::net::IpAddr;

use chrono::{DateTime, Local, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, DnValue, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, RsaKeySize, SanType, SerialNumber,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use saf::{Failure, Keywords, Output, Row, Session, Value, fail};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::add::dataset;
use super::{New, Permission, Request, certificate as named, changed, label, may, no_hardware, put, unseal};
use crate::certificate::Certificate;
use crate::package;
use crate::store::{self, CERTIFICATES, Owner, PLACES, Stored};

/// The parts of SUBJECTSDN, the least specific first, as they are encoded.
const SUBJECT: [(&str, &[u64]); 7] = [
    ("C", &[2, 5, 4, 6]),
    ("SP", &[2, 5, 4, 8]),
    ("L", &[2, 5, 4, 7]),
    ("O", &[2, 5, 4, 10]),
    ("OU", &[2, 5, 4, 11]),
    ("T", &[2, 5, 4, 12]),
    ("CN", &[2, 5, 4, 3]),
];
/// The longest part of a name.
const PART: usize = 64;
/// RSAPSS, curves of Brainpool and DSA are not among what the TLS engine verifies or rcgen signs.
const NOT_MADE: [&str; 3] = ["BPECC", "DSA", "SIGATTR"];

fn bad(error: &impl ToString) -> Failure {
    Failure::Message(format!("IRRD128I The certificate cannot be made: {}", error.to_string()))
}

pub(super) async fn certificate(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (owner, keywords) = (request.owner()?, &request.keywords);
    let wanted = label(keywords, "WITHLABEL")?;
    may(session, "GENCERT", owner, wanted.as_deref().unwrap_or_default())?;
    let asked = match keywords.list("GENCERT").unwrap_or_default().as_slice() {
        [] => None,
        [name] => Some(read_request(session, name)?),
        _ => return fail("IKJ56702I INVALID GENCERT, ONE DATA SET IS EXPECTED"),
    };
    let key = if asked.is_none() { Some(new_key(keywords).await?) } else { None };
    let mut params = match &asked {
        Some(asked) => asked.params.clone(),
        None => CertificateParams::default(),
    };
    match (keywords.nested("SUBJECTSDN", &SUBJECT.map(|(name, _)| name))?, asked.is_some()) {
        (Some(parts), _) => params.distinguished_name = subject(&parts)?,
        (None, true) => {}
        (None, false) => params.distinguished_name = subject_of(session, owner).await?,
    }
    if let Some(names) = alternative_names(keywords)? {
        params.subject_alt_names = names;
    }
    let ecc = match &asked {
        Some(asked) => !format!("{:?}", asked.public_key.algorithm()).contains("RSA"),
        None => keywords.has("NISTECC"),
    };
    if let Some(usages) = key_usage(keywords, ecc)? {
        params.key_usages = usages;
    }
    // Who asks for a certificate does not say that it is an authority's.
    let signs = keywords.list("KEYUSAGE").is_some_and(|usage| usage.iter().any(|word| is_beginning(word, "CERTSIGN")));
    let is_authority = signs || owner == Owner::Authority;
    params.is_ca = if is_authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
    if is_authority {
        if params.key_usages.is_empty() {
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
    } else {
        params.key_usages.retain(|usage| !matches!(usage, KeyUsagePurpose::KeyCertSign | KeyUsagePurpose::CrlSign));
    }
    let dates = dates(keywords)?;
    (params.not_before, params.not_after) = (time(dates.0), time(dates.1));
    let signer = signer(session, request, owner).await?;
    let made = match (&signer, &asked, &key) {
        (Some((signer, permission)), asked, key) => {
            let number = next_serial(session, signer).await?;
            params.serial_number = Some(serial(number));
            params.use_authority_key_identifier_extension = true;
            let row = Row::default().with("last_serial", number);
            row.update(session.connection(), CERTIFICATES, &signer.row()).await?;
            let issuer = issuer(request, signer, permission)?;
            match (asked, key) {
                (Some(asked), _) => {
                    let public_key = rcgen::SubjectPublicKeyInfo::from_der(&asked.spki).map_err(|error| bad(&error))?;
                    params.signed_by(&public_key, &issuer)
                }
                (None, Some(key)) => params.signed_by(key, &issuer),
                (None, None) => return Err(bad(&"there is no key")),
            }
        }
        (None, Some(_), _) => return fail("IRRD129I A certificate request cannot be signed without SIGNWITH."),
        (None, None, None) => return Err(bad(&"there is no key")),
        (None, None, Some(key)) => {
            params.serial_number = Some(free_serial(session, &params).await?);
            params.self_signed(key)
        }
    };
    let certificate = Certificate::parse(made.map_err(|error| bad(&error))?.der()).map_err(|error| bad(&error))?;
    let mut status = "TRUST";
    if let Some((signer, _)) = &signer {
        if certificate.names().issuer != signer.certificate.names().subject
            || !certificate.is_signed_by(&signer.certificate)
        {
            return fail(
                "IRRD128I The certificate cannot be made: the name of who signs it cannot be written again as it is",
            );
        }
        let (from, until) = signer.certificate.validity();
        if certificate.validity().0 < from || certificate.validity().1 > until {
            status = "NOTRUST";
        }
        if signer.status == "NOTRUST" {
            status = "NOTRUST";
        }
    }
    if certificate.validity().1 < Utc::now().timestamp() {
        status = "NOTRUST";
    }
    if status == "NOTRUST" {
        session.remark("IRRD113I The certificate that you are creating has an incorrect date range, or who signs it is not trusted.  The certificate is added with NOTRUST status.");
    }
    let secret = key.as_ref().map(KeyPair::serialized_der);
    put(session, request, New { owner, label: wanted.as_deref(), certificate: &certificate, key: secret, status }).await
}

/// A certificate request, read and its signature checked.
struct Asked {
    params: CertificateParams,
    public_key: rcgen::PublicKey,
    /// SubjectPublicKeyInfo, DER.
    spki: Vec<u8>,
}

fn read_request(session: &Session<'_>, name: &str) -> Result<Asked, Failure> {
    let malformed = |reason: &str| {
        Failure::Message(format!(
            "IRRD130I The input data set {name} does not contain a valid certificate request: {reason}."
        ))
    };
    let der = package::read_request(&session.read(name)?)
        .ok_or_else(|| malformed("expected PKCS#10, as DER or between BEGIN CERTIFICATE REQUEST and END"))?;
    asked(&der).map_err(|reason| malformed(&reason))
}

/// A certificate request (PKCS#10, DER).
fn asked(der: &[u8]) -> Result<Asked, String> {
    // Looked at first: the maker of certificates trusts the shape of names.
    let parsed = x509_parser::certification_request::X509CertificationRequest::from_der(der);
    let (_, parsed) = parsed.map_err(|error| error.to_string())?;
    let information = &parsed.certification_request_info;
    distinguished_name(&information.subject)?;
    for extension in parsed.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension {
            let known = |name: &GeneralName<'_>| {
                matches!(
                    name,
                    GeneralName::DNSName(_)
                        | GeneralName::RFC822Name(_)
                        | GeneralName::URI(_)
                        | GeneralName::IPAddress(_)
                )
            };
            if !names.general_names.iter().all(known) {
                return Err("it has an alternative name that is no DNS name, address, mail address or URI".to_owned());
            }
        }
    }
    let spki = information.subject_pki.raw.to_vec();
    let read = CertificateSigningRequestParams::from_der(&der.into()).map_err(|error| error.to_string())?;
    Ok(Asked { params: read.params, public_key: read.public_key, spki })
}

fn is_beginning(word: &str, of: &str) -> bool {
    !word.is_empty() && of.starts_with(&word.to_ascii_uppercase())
}

/// A key pair as RSA or NISTECC and SIZE say; made beside what else the daemon does.
async fn new_key(keywords: &Keywords) -> Result<KeyPair, Failure> {
    no_hardware(keywords)?;
    if let Some(name) = NOT_MADE.into_iter().find(|name| keywords.has(name)) {
        return fail(format!(
            "IKJ56702I INVALID {name}\nKEYS ARE RSA (SIZE 2048, 3072, 4096) OR NISTECC (SIZE 256, 384, 521)"
        ));
    }
    let size = keywords.value("SIZE")?;
    let invalid =
        |expected: &str| fail(format!("IKJ56702I INVALID SIZE, {}\n{expected} IS EXPECTED", size.unwrap_or_default()));
    let make: Box<dyn FnOnce() -> Result<KeyPair, rcgen::Error> + Send> = if keywords.has("NISTECC") {
        let algorithm = match size {
            None | Some("256") => &rcgen::PKCS_ECDSA_P256_SHA256,
            Some("384") => &rcgen::PKCS_ECDSA_P384_SHA384,
            Some("521") => &rcgen::PKCS_ECDSA_P521_SHA512,
            Some(_) => return invalid("256, 384 OR 521"),
        };
        Box::new(move || KeyPair::generate_for(algorithm))
    } else {
        let size = match size {
            None | Some("2048") => RsaKeySize::_2048,
            Some("3072") => RsaKeySize::_3072,
            Some("4096") => RsaKeySize::_4096,
            Some(_) => return invalid("2048, 3072 OR 4096"),
        };
        Box::new(move || KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size))
    };
    tokio::task::spawn_blocking(make).await.map_err(|error| bad(&error))?.map_err(|error| bad(&error))
}

fn subject(parts: &Keywords) -> Result<DistinguishedName, Failure> {
    let mut name = DistinguishedName::new();
    for (keyword, oid) in SUBJECT {
        let values = parts.list(keyword).unwrap_or_default();
        let [value] = values.as_slice() else {
            if values.is_empty() && !parts.has(keyword) {
                continue;
            }
            return fail(format!("IKJ56702I INVALID {keyword}, ONE VALUE IS EXPECTED"));
        };
        let country = keyword == "C" && value.chars().count() != 2;
        if value.trim().is_empty() || value.chars().count() > PART || value.chars().any(char::is_control) || country {
            return fail(format!(
                "IKJ56702I INVALID {keyword}, {value}\n1 TO {PART} CHARACTERS ARE EXPECTED, OF A COUNTRY 2"
            ));
        }
        name.push(DnType::from_oid(oid), text(value));
    }
    if name.iter().next().is_none() { fail("IKJ56701I MISSING SUBJECT'S NAME+") } else { Ok(name) }
}

/// PrintableString where that is enough, UTF8String else.
fn text(value: &str) -> DnValue {
    value.try_into().map_or_else(|_| DnValue::Utf8String(value.to_owned()), DnValue::PrintableString)
}

/// The name of a certificate for which nobody says one: its user's.
async fn subject_of(session: &mut Session<'_>, owner: Owner) -> Result<DistinguishedName, Failure> {
    let Owner::User(userid) = owner else { return fail("IKJ56701I MISSING SUBJECTSDN+") };
    let query =
        sqlx::query_scalar::<_, String>("SELECT name FROM racf_users WHERE userid = $1").bind(userid.to_string());
    let name = query.fetch_one(session.connection()).await.map_err(saf::SafError::from)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, text(if name.is_empty() { userid.as_str() } else { &name }));
    Ok(subject)
}

/// ALTNAME: addresses, domains, mail addresses and URIs, several of each (z/OS 3.2's AIP, ADOMAIN, AEMAIL, AURI are the same).
fn alternative_names(keywords: &Keywords) -> Result<Option<Vec<SanType>>, Failure> {
    let known = ["IP", "DOMAIN", "EMAIL", "URI", "AIP", "ADOMAIN", "AEMAIL", "AURI"];
    let Some(inside) = keywords.nested("ALTNAME", &known)? else { return Ok(None) };
    let mut names = Vec::new();
    for (kind, values) in inside.pairs() {
        if values.is_empty() {
            return fail(format!("IKJ56701I MISSING {kind}+"));
        }
        for value in values {
            let invalid = || Failure::Message(format!("IKJ56702I INVALID {kind}, {value}"));
            let text = || value.try_into().map_err(|_| invalid());
            names.push(match kind {
                "IP" | "AIP" => SanType::IpAddress(value.parse::<IpAddr>().map_err(|_| invalid())?),
                "EMAIL" | "AEMAIL" => SanType::Rfc822Name(text()?),
                "URI" | "AURI" => SanType::URI(text()?),
                _ => SanType::DnsName(text()?),
            });
        }
    }
    Ok(Some(names))
}

/// KEYUSAGE. An EC key enciphers no keys.
fn key_usage(keywords: &Keywords, ecc: bool) -> Result<Option<Vec<KeyUsagePurpose>>, Failure> {
    let known = ["CERTSIGN", "DATAENCRYPT", "DOCSIGN", "HANDSHAKE", "KEYAGREE"];
    let Some(inside) = keywords.nested("KEYUSAGE", &known)? else { return Ok(None) };
    let mut usages = Vec::new();
    for (word, _) in inside.pairs() {
        usages.extend_from_slice(match word {
            "CERTSIGN" => &[KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
            "DATAENCRYPT" => &[KeyUsagePurpose::DataEncipherment],
            "DOCSIGN" => &[KeyUsagePurpose::ContentCommitment],
            "KEYAGREE" => &[KeyUsagePurpose::KeyAgreement],
            _ if ecc => &[KeyUsagePurpose::DigitalSignature],
            _ => &[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
        });
    }
    if ecc && inside.has("DATAENCRYPT") {
        return fail("IKJ56702I INVALID KEYUSAGE, DATAENCRYPT\nAN EC KEY ENCRYPTS NO DATA");
    }
    Ok(Some(usages))
}

/// NOTBEFORE and NOTAFTER, seconds since the epoch: from the beginning of today to the end of the day before, a year on.
fn dates(keywords: &Keywords) -> Result<(i64, i64), Failure> {
    let today = Local::now().date_naive();
    let (midnight, last) = (NaiveTime::MIN, NaiveTime::from_hms_opt(23, 59, 59).unwrap_or(NaiveTime::MIN));
    let from = moment(keywords, "NOTBEFORE", midnight)?.unwrap_or_else(|| today.and_time(midnight));
    let until = moment(keywords, "NOTAFTER", last)?
        .or_else(|| Some(from.date().checked_add_months(Months::new(12))?.and_time(last)))
        .unwrap_or(from);
    if until <= from {
        return fail("IRRD131I The NOTAFTER date is not later than the NOTBEFORE date.");
    }
    // In the hour that is left out in spring it is UTC's.
    let seconds = |time: NaiveDateTime| {
        Local.from_local_datetime(&time).earliest().map_or_else(|| time.and_utc().timestamp(), |time| time.timestamp())
    };
    Ok((seconds(from), seconds(until)))
}

fn moment(keywords: &Keywords, keyword: &str, default: NaiveTime) -> Result<Option<NaiveDateTime>, Failure> {
    let Some(inside) = keywords.nested(keyword, &["DATE", "TIME"])? else { return Ok(None) };
    let date = match inside.value("DATE")? {
        None => Local::now().date_naive(),
        Some(text) => match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(date) if (1950..=9997).contains(&chrono::Datelike::year(&date)) => date,
            _ => return fail(format!("IKJ56702I INVALID DATE, {text}\nYYYY-MM-DD IS EXPECTED, FROM 1950 TO 9997")),
        },
    };
    let time = match inside.value("TIME")? {
        None => default,
        Some(text) => match NaiveTime::parse_from_str(text, "%H:%M:%S") {
            Ok(time) => time,
            Err(_) => return fail(format!("IKJ56702I INVALID TIME, {text}\nHH:MM:SS IS EXPECTED")),
        },
    };
    Ok(Some(date.and_time(time)))
}

fn time<T: From<std::time::SystemTime>>(seconds: i64) -> T {
    let time: std::time::SystemTime = DateTime::<Utc>::from_timestamp(seconds, 0).unwrap_or_default().into();
    time.into()
}

/// A serial number in as few bytes as hold it.
fn serial(number: i64) -> SerialNumber {
    let bytes = number.max(0).to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let bytes = bytes.get(first..).unwrap_or_default();
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { vec![0] } else { Vec::new() };
    SerialNumber::from_slice(&[sign, bytes.to_vec()].concat())
}

/// The first serial number above the last one that an authority gave, and that no known certificate of its has.
async fn next_serial(session: &mut Session<'_>, signer: &Stored) -> Result<i64, Failure> {
    let taken = serials(session, &signer.certificate.names().subject.join(".")).await?;
    let is_free = |number: &i64| !taken.contains(&crate::certificate::hexadecimal(&serial(*number).to_bytes()));
    (signer.last_serial + 1..).find(is_free).ok_or_else(|| bad(&"no serial number is free"))
}

/// The serial numbers of the certificates of an issuer of this name.
async fn serials(session: &mut Session<'_>, issuer: &str) -> Result<Vec<String>, Failure> {
    let query = sqlx::query_scalar::<_, String>("SELECT serial FROM racf_certificates WHERE issuer = $1");
    Ok(query.bind(issuer.to_owned()).fetch_all(session.connection()).await.map_err(saf::SafError::from)?)
}

/// The first serial number a self-signed certificate of this name can have: 0, unless there is one.
async fn free_serial(session: &mut Session<'_>, params: &CertificateParams) -> Result<SerialNumber, Failure> {
    // The name as RACF writes it is only known from a certificate.
    let key = KeyPair::generate().map_err(|error| bad(&error))?;
    let sample = params.self_signed(&key).map_err(|error| bad(&error))?;
    let sample = Certificate::parse(sample.der()).map_err(|error| bad(&error))?;
    let taken = serials(session, &sample.names().issuer.join(".")).await?;
    let free = (0..).map(serial).find(|number| !taken.contains(&crate::certificate::hexadecimal(&number.to_bytes())));
    free.ok_or_else(|| bad(&"no serial number is free"))
}

/// The certificate SIGNWITH names, with the permission to sign by its key.
async fn signer(
    session: &mut Session<'_>,
    request: &Request<'_>,
    owner: Owner,
) -> Result<Option<(Stored, Permission)>, Failure> {
    let Some(inside) = request.keywords.nested("SIGNWITH", &["CERTAUTH", "SITE", "LABEL"])? else { return Ok(None) };
    let signer = match (inside.has("CERTAUTH"), inside.has("SITE")) {
        (true, true) => return fail("IKJ56716I EXTRANEOUS KEYWORDS, ONE OF CERTAUTH SITE IS EXPECTED"),
        (true, false) => Owner::Authority,
        (false, true) => Owner::Site,
        (false, false) => owner,
    };
    let Some(label) = label(&inside, "LABEL")? else { return fail("IKJ56701I MISSING LABEL OF SIGNWITH+") };
    let permission = may(session, "GENCERT", signer, &label)?;
    let stored = named(session, signer, &label).await?;
    if !stored.certificate.is_authority() {
        return fail(format!(
            "IRRD132I The certificate labelled {label} may not sign others: it was not made with CERTSIGN."
        ));
    }
    Ok(Some((stored, permission)))
}

fn key_pair(request: &Request<'_>, stored: &Stored, permission: &Permission) -> Result<KeyPair, Failure> {
    let key = unseal(request, stored, permission)?;
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(&key[..])).map_err(|error| bad(&error))
}

fn issuer(
    request: &Request<'_>,
    signer: &Stored,
    permission: &Permission,
) -> Result<Issuer<'static, KeyPair>, Failure> {
    let key = key_pair(request, signer, permission)?;
    let (_, parsed) = parse_x509_certificate(signer.certificate.der()).map_err(|error| bad(&error))?;
    distinguished_name(parsed.subject()).map_err(|error| bad(&error))?;
    Issuer::from_ca_cert_der(signer.certificate.der(), key).map_err(|error| bad(&error))
}

/// A name as the maker of certificates takes it: one value of each kind, each part alone, in strings it knows.
fn distinguished_name(name: &X509Name<'_>) -> Result<DistinguishedName, String> {
    let mut made = DistinguishedName::new();
    for part in name.iter_rdn() {
        let mut attributes = part.iter();
        let (Some(attribute), None) = (attributes.next(), attributes.next()) else {
            return Err("a part of its name has several attributes, or none".to_owned());
        };
        let oid = attribute.attr_type();
        let numbers: Vec<u64> = oid.iter().map(Iterator::collect).unwrap_or_default();
        if !is_written(&numbers) {
            return Err(format!("its name has the attribute {oid}, which cannot be written"));
        }
        let kind = DnType::from_oid(&numbers);
        if made.get(&kind).is_some() {
            return Err(format!("its name has {oid} several times, which cannot be written"));
        }
        let value =
            attribute.as_str().map_err(|_| format!("its name's {oid} is in a character set that is not read"))?;
        let value = match attribute.attr_value().tag() {
            Tag::PrintableString => {
                DnValue::PrintableString(value.try_into().map_err(|_| format!("its name's {oid} is not valid"))?)
            }
            Tag::Ia5String => {
                DnValue::Ia5String(value.try_into().map_err(|_| format!("its name's {oid} is not valid"))?)
            }
            Tag::Utf8String => DnValue::Utf8String(value.to_owned()),
            _ => return Err(format!("its name's {oid} is in a character set that is not written")),
        };
        made.push(kind, value);
    }
    Ok(made)
}

/// Whether a writer of DER takes an object identifier: X.690 §8.19.4.
fn is_written(numbers: &[u64]) -> bool {
    matches!(numbers, [0 | 1, 0..=39, ..] | [2, 0..=47, ..])
}

/// What a new certificate or request has from an old one: names and key usage.
fn like(stored: &Stored) -> Result<CertificateParams, Failure> {
    let (_, parsed) = parse_x509_certificate(stored.certificate.der()).map_err(|error| bad(&error))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(parsed.subject()).map_err(|error| bad(&error))?;
    params.subject_alt_names = names_of(&parsed)?;
    if let Ok(Some(usage)) = parsed.key_usage() {
        let usage = usage.value;
        let flags = [
            (usage.digital_signature(), KeyUsagePurpose::DigitalSignature),
            (usage.non_repudiation(), KeyUsagePurpose::ContentCommitment),
            (usage.key_encipherment(), KeyUsagePurpose::KeyEncipherment),
            (usage.data_encipherment(), KeyUsagePurpose::DataEncipherment),
            (usage.key_agreement(), KeyUsagePurpose::KeyAgreement),
            (usage.key_cert_sign(), KeyUsagePurpose::KeyCertSign),
            (usage.crl_sign(), KeyUsagePurpose::CrlSign),
        ];
        params.key_usages = flags.into_iter().filter_map(|(is_set, usage)| is_set.then_some(usage)).collect();
    }
    if stored.certificate.is_authority() {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    Ok(params)
}

fn names_of(parsed: &X509Certificate<'_>) -> Result<Vec<SanType>, Failure> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for name in &extension.value.general_names {
        let other = || bad(&"it has an alternative name of a kind that cannot be written");
        names.push(match name {
            GeneralName::DNSName(text) => SanType::DnsName((*text).try_into().map_err(|_| other())?),
            GeneralName::RFC822Name(text) => SanType::Rfc822Name((*text).try_into().map_err(|_| other())?),
            GeneralName::URI(text) => SanType::URI((*text).try_into().map_err(|_| other())?),
            GeneralName::IPAddress(bytes) => {
                SanType::IpAddress(match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                    (Ok(four), _) => IpAddr::from(four),
                    (_, Ok(sixteen)) => IpAddr::from(sixteen),
                    _ => return Err(other()),
                })
            }
            _ => return Err(other()),
        });
    }
    Ok(names)
}

pub(super) async fn request(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let name = dataset(&request.keywords, "DSN")?;
    let (stored, permission) = request.certificate(session, "GENREQ").await?;
    let key = key_pair(request, &stored, &permission)?;
    let made = like(&stored)?.serialize_request(&key).map_err(|error| bad(&error))?;
    let content = package::to_pem("NEW CERTIFICATE REQUEST", made.der());
    session.write(Output { name, content, secret: false });
    Row::default().with("requested", true).update(session.connection(), CERTIFICATES, &stored.row()).await?;
    changed(session, "DIGTCERT");
    Ok(())
}

pub(super) async fn rekey(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (owner, keywords) = (request.owner()?, &request.keywords);
    let Some(new) = label(keywords, "WITHLABEL")? else { return fail("IKJ56701I MISSING WITHLABEL+") };
    let (stored, _) = request.certificate(session, "REKEY").await?;
    if stored.key.is_none() {
        return fail(format!("IRRD117I The certificate labelled {} does not have a private key.", stored.label));
    }
    let key = new_key(keywords).await?;
    let mut params = like(&stored)?;
    let dates = dates(keywords)?;
    (params.not_before, params.not_after) = (time(dates.0), time(dates.1));
    params.serial_number = Some(free_serial(session, &params).await?);
    let made = params.self_signed(&key).map_err(|error| bad(&error))?;
    let certificate = Certificate::parse(made.der()).map_err(|error| bad(&error))?;
    let new = New {
        owner,
        label: Some(&new),
        certificate: &certificate,
        key: Some(key.serialized_der()),
        status: &stored.status,
    };
    put(session, request, new).await
}

pub(super) async fn rollover(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (owner, keywords) = (request.owner()?, &request.keywords);
    let Some(new) = label(keywords, "NEWLABEL")? else { return fail("IKJ56701I MISSING NEWLABEL+") };
    let (old, _) = request.certificate(session, "ROLLOVER").await?;
    may(session, "ROLLOVER", owner, &new)?;
    let new = named(session, owner, &new).await?;
    if new.label == old.label {
        return fail("IKJ56702I INVALID NEWLABEL, ANOTHER CERTIFICATE IS EXPECTED");
    }
    if new.key.is_none() || old.key.is_none() {
        let without = if new.key.is_none() { &new } else { &old };
        return fail(format!("IRRD117I The certificate labelled {} does not have a private key.", without.label));
    }
    if new.certificate.names().subject != old.certificate.names().subject && !keywords.has("FORCE") {
        return fail(
            "IRRD133I The certificates have different subject's names.  Specify FORCE to roll over all the same.",
        );
    }
    for place in store::rings_of(session.connection(), &old).await? {
        let ring = Row::default().with("ring_owner", place.ring_owner).with("ring_name", place.ring.as_str());
        let at = |stored: &Stored| ring.clone().with("owner", stored.owner.key()).with("label", stored.label.as_str());
        at(&old).delete(session.connection(), PLACES).await?;
        at(&new).delete(session.connection(), PLACES).await?;
        let row = at(&new).with("usage", place.usage.as_str()).with("is_default", place.is_default);
        row.insert(session.connection(), PLACES).await?;
    }
    let retired =
        Row::default().with("envelope", Value::Text(None)).with("private_key", Value::Text(None)).with("retired", true);
    retired.update(session.connection(), CERTIFICATES, &old.row()).await?;
    let serial = Row::default().with("last_serial", new.last_serial.max(old.last_serial));
    serial.update(session.connection(), CERTIFICATES, &new.row()).await?;
    changed(session, "DIGTCERT");
    changed(session, "DIGTRING");
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::SigningKey as _;

    use super::*;

    /// DER: a tag, the length, the content.
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("a short element").to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    /// A request whose bytes are changed before it is signed: only its shape can be wrong.
    fn request(key: &KeyPair, changes: &[(usize, u8)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned(), "10.1.2.3".to_owned()]).expect("names");
        params.distinguished_name.push(DnType::OrganizationName, "Org");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let whole = params.serialize_request(key).expect("a request").der().to_vec();
        let (_, read) = x509_parser::certification_request::X509CertificationRequest::from_der(&whole).expect("DER");
        let mut information = read.certification_request_info.raw.to_vec();
        let length = information.len();
        for (at, byte) in changes {
            information[at % length] = *byte;
        }
        const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let signature = key.sign(&information).expect("a signature");
        let signature = element(3, &[&[0], &signature[..]].concat());
        element(0x30, &[&information[..], &ECDSA_WITH_SHA256, &signature].concat())
    }

    fn certify(asked: &Asked) -> Option<Vec<u8>> {
        let key = KeyPair::generate().expect("a key");
        let issuer = Issuer::new(CertificateParams::default(), key);
        let public_key = rcgen::SubjectPublicKeyInfo::from_der(&asked.spki).ok()?;
        asked.params.signed_by(&public_key, &issuer).ok().map(|made| made.der().to_vec())
    }

    #[test]
    fn a_request_is_certified() {
        let key = KeyPair::generate().expect("a key");
        let asked = asked(&request(&key, &[])).expect("a good request");
        let made = Certificate::parse(&certify(&asked).expect("certified")).expect("a certificate");
        assert!(made.names().subject.iter().any(|part| part == "O=Org"), "{:?}", made.names());
    }

    proptest! {
        /// Whatever a request holds, it is certified or refused, never a panic.
        #[test]
        fn hostile_requests_are_certified_or_refused(changes in prop::collection::vec((0_usize..2000, any::<u8>()), 0..4)) {
            let key = KeyPair::generate().expect("a key");
            if let Ok(asked) = asked(&request(&key, &changes)) && let Some(made) = certify(&asked) {
                let _ = Certificate::parse(&made);
            }
        }
    }
}
