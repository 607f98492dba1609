//! What certificates and keys travel in: PEM, DER, PKCS#7 (RFC 5652) and PKCS#12 (RFC 7292), both ways.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    RsaKeyPair,
};
use cms::cert::CertificateChoices;
use cms::cert::x509::Certificate as CmsCertificate;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{CertificateSet, EncapsulatedContentInfo, SignedData, SignerInfos};
use der::asn1::{ObjectIdentifier, SetOfVec};
use der::{Any, Decode as _, Encode as _};
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12Archive, PrivateKey, PrivateKeyChain};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer,
    PrivateSec1KeyDer,
};
use zeroize::Zeroizing;

/// id-signedData and id-data of RFC 5652.
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");

/// How long PKCS#12 is read: each part of it may ask for much work.
const LONGEST_PKCS12: usize = 64 * 1024;

/// Why a package cannot be read.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum BadPackage {
    /// It is PKCS#12, and the password is missing or wrong.
    Password,
    /// It is none of the formats, or holds something else.
    Malformed(String),
}

/// Certificates and private keys of a package, in its order; the end entity of a chain comes first.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
}

/// Reads a package.
pub(crate) fn read(bytes: &[u8], password: Option<&str>) -> Result<Package, BadPackage> {
    let mut package = Package::default();
    if let Some(pkcs12) = pkcs12_in_pem(bytes) {
        return read(&pkcs12, password);
    }
    if is_pem(bytes) {
        read_pem(bytes, &mut package).map_err(BadPackage::Malformed)?;
    } else if bytes.first() == Some(&0x30) {
        if x509_parser::parse_x509_certificate(bytes).is_ok() {
            package.certificates.push(CertificateDer::from(bytes.to_vec()));
        } else if let Some(certificates) = read_pkcs7(bytes) {
            package.certificates = certificates.map_err(BadPackage::Malformed)?;
        } else if bytes.len() > LONGEST_PKCS12 {
            return Err(BadPackage::Malformed(format!(
                "it is no certificate, and PKCS#12 of more than {LONGEST_PKCS12} bytes"
            )));
        } else {
            let archive = Pkcs12Archive::from_pkcs12(bytes, password.unwrap_or_default());
            read_pkcs12(&archive.map_err(|_| BadPackage::Password)?, &mut package);
        }
    } else {
        return Err(BadPackage::Malformed("it begins with neither `-----BEGIN` nor DER".to_owned()));
    }
    if package.certificates.is_empty() && package.keys.is_empty() {
        return Err(BadPackage::Malformed("it holds no certificate and no private key".to_owned()));
    }
    Ok(package)
}

/// Reads a certificate request (PKCS#10).
pub(crate) fn read_request(bytes: &[u8]) -> Option<CertificateSigningRequestDer<'static>> {
    if !is_pem(bytes) {
        return (bytes.first() == Some(&0x30)).then(|| CertificateSigningRequestDer::from(bytes.to_vec()));
    }
    let sections = pem::parse_many(bytes).ok()?;
    let request = sections.into_iter().find(|section| section.tag().ends_with("CERTIFICATE REQUEST"))?;
    Some(CertificateSigningRequestDer::from(request.into_contents()))
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(10).any(|window| window == b"-----BEGIN")
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn read_pem(bytes: &[u8], package: &mut Package) -> Result<(), String> {
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|error| error.to_string())?;
        match kind {
            // Some programs put PKCS#7 between a certificate's markers.
            SectionKind::Certificate => match read_pkcs7(&der) {
                Some(certificates) => package.certificates.extend(certificates?),
                None => package.certificates.push(CertificateDer::from(der)),
            },
            SectionKind::PrivateKey => package.keys.push(PrivatePkcs8KeyDer::from(der).into()),
            SectionKind::RsaPrivateKey => package.keys.push(PrivatePkcs1KeyDer::from(der).into()),
            SectionKind::EcPrivateKey => package.keys.push(PrivateSec1KeyDer::from(der).into()),
            _ => {}
        }
    }
    if contains(bytes, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Err("encrypted PEM keys are not read; convert it to PKCS#12".to_owned());
    }
    if contains(bytes, b"-----BEGIN PKCS7-----") || contains(bytes, b"-----BEGIN CMS-----") {
        for section in pem::parse_many(bytes).map_err(|error| error.to_string())? {
            if ["PKCS7", "CMS"].contains(&section.tag()) {
                let certificates = read_pkcs7(section.contents()).ok_or("its PKCS#7 section is none")?;
                package.certificates.extend(certificates?);
            }
        }
    }
    Ok(())
}

/// The PKCS#12 between markers, as EXPORT writes it.
fn pkcs12_in_pem(bytes: &[u8]) -> Option<Vec<u8>> {
    let sections = contains(bytes, b"-----BEGIN PKCS12-----").then(|| pem::parse_many(bytes).ok()).flatten()?;
    sections.into_iter().find(|section| section.tag() == "PKCS12").map(pem::Pem::into_contents)
}

/// The certificates of PKCS#7 signed data; none when it is something else.
fn read_pkcs7(bytes: &[u8]) -> Option<Result<Vec<CertificateDer<'static>>, String>> {
    let outer = ContentInfo::from_der(bytes).ok().filter(|outer| outer.content_type == SIGNED_DATA)?;
    let certificates = || {
        let data: SignedData = outer.content.decode_as()?;
        let set = data.certificates.map(|set| set.0.into_vec()).unwrap_or_default();
        let certificates = set.iter().filter_map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => Some(certificate.to_der().map(CertificateDer::from)),
            CertificateChoices::Other(_) => None,
        });
        certificates.collect::<der::Result<Vec<_>>>()
    };
    Some(certificates().map_err(|error| format!("its PKCS#7 cannot be read: {error}")))
}

/// Keys with their certificates first, so that a chain starts with its end entity.
fn read_pkcs12(archive: &Pkcs12Archive, package: &mut Package) {
    let own = |id: &Option<Vec<u8>>| {
        archive.keys.iter().any(|key| key.local_key_id.as_ref().map(|key| &key.0) == id.as_ref() && id.is_some())
    };
    let (first, rest): (Vec<_>, Vec<_>) = archive.certs.iter().partition(|bag| own(&bag.local_key_id));
    package.certificates =
        first.into_iter().chain(rest).map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())).collect();
    package.keys = archive.keys.iter().map(|bag| PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()).into()).collect();
}

/// A private key as PKCS#8, whatever it came as.
pub(crate) fn pkcs8(key: &PrivateKeyDer<'_>) -> Result<Zeroizing<Vec<u8>>, String> {
    let refused = |what: &str| format!("{what} cannot be used");
    match key {
        PrivateKeyDer::Pkcs8(key) => Ok(Zeroizing::new(key.secret_pkcs8_der().to_vec())),
        PrivateKeyDer::Pkcs1(key) => {
            let pair = RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(|_| refused("the RSA key"))?;
            let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().map_err(|_| refused("the RSA key"))?;
            Ok(Zeroizing::new(der.as_ref().to_vec()))
        }
        PrivateKeyDer::Sec1(key) => {
            let curves =
                [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];
            let mut pairs = curves.into_iter();
            let pair = pairs.find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, key.secret_sec1_der()).ok());
            let document = pair.and_then(|pair| pair.to_pkcs8v1().ok()).ok_or_else(|| refused("the EC key"))?;
            Ok(Zeroizing::new(document.as_ref().to_vec()))
        }
        _ => Err(refused("a private key of this kind")),
    }
}

/// DER as PEM.
pub(crate) fn to_pem(tag: &str, der: &[u8]) -> Vec<u8> {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, der), config).into_bytes()
}

/// Certificates as PKCS#7 without a signature.
pub(crate) fn to_pkcs7(certificates: &[CertificateDer<'static>]) -> Result<Vec<u8>, String> {
    let write = || {
        let choices = certificates.iter().map(|der| CmsCertificate::from_der(der).map(CertificateChoices::Certificate));
        let data = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::new(),
            encap_content_info: EncapsulatedContentInfo { econtent_type: DATA, econtent: None },
            certificates: Some(CertificateSet(SetOfVec::try_from(choices.collect::<der::Result<Vec<_>>>()?)?)),
            crls: None,
            signer_infos: SignerInfos(SetOfVec::new()),
        };
        ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&data)? }.to_der()
    };
    write().map_err(|error: der::Error| format!("it cannot be written as PKCS#7: {error}"))
}

/// A private key and its chain as PKCS#12, encrypted with AES-256 under a password.
pub(crate) fn to_pkcs12(
    label: &str,
    key: &[u8],
    chain: &[CertificateDer<'static>],
    password: &str,
) -> Result<Vec<u8>, String> {
    let write = || {
        let chain = chain.iter().map(|der| p12_keystore::Certificate::from_der(der)).collect::<Result<Vec<_>, _>>()?;
        let entry = PrivateKeyChain::new(label.as_bytes(), PrivateKey::from_der(key)?, chain);
        let mut store = KeyStore::new();
        store.add_entry(label, KeyStoreEntry::PrivateKeyChain(entry));
        store.writer(password).write()
    };
    write().map_err(|error: p12_keystore::error::Error| format!("it cannot be written as PKCS#12: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn sample() -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        (params.self_signed(&key).expect("a certificate").der().clone(), key)
    }

    #[test]
    fn every_format_is_read_as_it_is_written() {
        let (der, key) = sample();
        let pkcs7 = to_pkcs7(std::slice::from_ref(&der)).expect("written");
        let pkcs12 = to_pkcs12("A", key.serialized_der(), std::slice::from_ref(&der), "secret").expect("written");
        for (bytes, keys) in [
            (der.to_vec(), 0),
            (to_pem("CERTIFICATE", &der), 0),
            (pkcs7.clone(), 0),
            (to_pem("PKCS7", &pkcs7), 0),
            (to_pem("CERTIFICATE", &pkcs7), 0),
            (pkcs12.clone(), 1),
            (to_pem("PKCS12", &pkcs12), 1),
            ([to_pem("CERTIFICATE", &der), key.serialize_pem().into_bytes()].concat(), 1),
        ] {
            let package = read(&bytes, Some("secret")).expect("a package");
            assert_eq!((package.certificates.as_slice(), package.keys.len()), (std::slice::from_ref(&der), keys));
        }
        assert_eq!(read(&pkcs12, Some("wrong")).err(), Some(BadPackage::Password));
        assert!(matches!(read(b"nonsense", None).err(), Some(BadPackage::Malformed(_))));
    }

    proptest! {
        #[test]
        fn damaged_packages_are_refused_and_nothing_panics(at in 0_usize..5000, byte: u8, which in 0_usize..3) {
            let (der, key) = sample();
            let pkcs7 = to_pkcs7(std::slice::from_ref(&der)).expect("written");
            let mut bytes = match which {
                0 => pkcs7,
                1 => to_pem("PKCS7", &pkcs7),
                _ => [to_pem("CERTIFICATE", &der), key.serialize_pem().into_bytes()].concat(),
            };
            let length = bytes.len();
            bytes[at % length] = byte;
            let _ = read(&bytes, Some("secret"));
            let _ = read_request(&bytes);
        }
    }
}
