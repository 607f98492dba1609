//! A cryptography bill of materials from observed connections: CycloneDX 1.6.
//!
//! Source: CycloneDX 1.6, `cryptoProperties` (ECMA-424). Protocols refer to the algorithms of their suites; where each was seen is its
//! evidence.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use policies::algorithm::{Encryption, KeyExchange, Symmetric};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::attributes::Attributes;
use crate::usage::Usage;

/// The document; `made` is when it is made.
#[must_use]
pub fn cbom(usages: &[Usage], made: DateTime<Utc>, host: &str) -> Value {
    let mut components: BTreeMap<String, Value> = BTreeMap::new();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut connections: BTreeMap<String, u64> = BTreeMap::new();
    for usage in usages {
        let attributes = &usage.session.attributes;
        if attributes.is_clear() || attributes.failed {
            continue;
        }
        let mut references: Vec<String> = Vec::new();
        for (name, component) in algorithms(attributes) {
            references.push(name.clone());
            components.entry(name).or_insert(component);
        }
        if let Some(certificate) = &attributes.certificate {
            // Serial numbers are an issuer's own.
            let issuer = Sha256::digest(certificate.issuer.as_bytes());
            let issuer: String = issuer.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            let name = format!("certificate/{}-{issuer}", certificate.serial.to_ascii_lowercase());
            components.entry(name.clone()).or_insert_with(|| {
                let end = DateTime::<Utc>::from_timestamp(certificate.not_after, 0).unwrap_or_default();
                json!({
                    "type": "cryptographic-asset",
                    "bom-ref": name,
                    "name": certificate.subject,
                    "cryptoProperties": {
                        "assetType": "certificate",
                        "certificateProperties": {
                            "subjectName": certificate.subject,
                            "issuerName": certificate.issuer,
                            "notValidAfter": end.to_rfc3339_opts(SecondsFormat::Secs, true),
                            "certificateFormat": "X.509",
                        },
                    },
                })
            });
            references.push(name);
        }
        references.sort();
        references.dedup();
        let name = protocol_reference(attributes);
        components.entry(name.clone()).or_insert_with(|| protocol(attributes, &name, &references));
        for reference in references.iter().chain([&name]) {
            seen.entry(reference.clone()).or_default().insert(usage.session.endpoint().to_string());
            *connections.entry(reference.clone()).or_default() += usage.counts.connections;
        }
    }
    for (name, component) in &mut components {
        let places = seen.get(name).into_iter().flatten().map(|place| json!({ "location": place }));
        let count = connections.get(name).copied().unwrap_or_default();
        if let Some(component) = component.as_object_mut() {
            component.insert("evidence".to_owned(), json!({ "occurrences": places.collect::<Vec<_>>() }));
            component
                .insert("properties".to_owned(), json!([{ "name": "pagent:connections", "value": count.to_string() }]));
        }
    }
    let components: Vec<Value> = components.into_values().collect();
    let serial = serial(&components, made, host);
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial,
        "version": 1,
        "metadata": {
            "timestamp": made.to_rfc3339_opts(SecondsFormat::Secs, true),
            "tools": { "components": [{ "type": "application", "name": "pagent", "version": env!("CARGO_PKG_VERSION") }] },
            "component": { "type": "device", "bom-ref": "host", "name": host },
        },
        "components": components,
    })
}

/// The document's number: a UUID of what is in it (RFC 9562, version 8).
fn serial(components: &[Value], made: DateTime<Utc>, host: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(made.to_rfc3339());
    digest.update(host);
    components.iter().for_each(|component| digest.update(component.to_string()));
    let mut bytes: [u8; 16] = [0; 16];
    bytes.iter_mut().zip(digest.finalize()).for_each(|(byte, hashed)| *byte = hashed);
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    (*version, *variant) = (*version & 0x0F | 0x80, *variant & 0x3F | 0x80);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| text.get(part).unwrap_or_default().to_owned());
    format!("urn:uuid:{}", parts.join("-"))
}

/// Names as references: lower case, nothing but letters, digits, `.`, `-` and `/`.
fn reference(kind: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' })
        .collect();
    format!("{kind}/{plain}")
}

fn protocol_reference(attributes: &Attributes) -> String {
    let Attributes { protocol, version, suite, group, .. } = attributes;
    let certificate =
        attributes.certificate.as_ref().map(|certificate| certificate.serial.as_str()).unwrap_or_default();
    reference("protocol", &[protocol, version, suite, group, certificate].map(|part| part.trim().to_owned()).join("/"))
}

fn protocol(attributes: &Attributes, name: &str, references: &[String]) -> Value {
    let kind = if attributes.protocol == "SSH" { "ssh" } else { "tls" };
    // `1.3`, `2`, `3.0` of SSL.
    let version = attributes.version.trim_start_matches(|c: char| c.is_ascii_alphabetic()).to_owned();
    let suite = attributes.observed.as_ref().and_then(|observed| observed.suite);
    let mut suites = json!({ "name": attributes.suite });
    let algorithms: Vec<&String> = references.iter().filter(|name| name.starts_with("algorithm/")).collect();
    if let Some(map) = suites.as_object_mut() {
        map.insert("algorithms".to_owned(), json!(algorithms));
        if let Some(suite) = suite {
            let [high, low] = suite.to_be_bytes();
            map.insert("identifiers".to_owned(), json!([format!("0x{high:02X}"), format!("0x{low:02X}")]));
        }
    }
    let shown = match kind {
        "ssh" => format!("SSH {} {}", attributes.version, attributes.suite),
        _ => format!("{} {}", attributes.version, attributes.suite),
    };
    json!({
        "type": "cryptographic-asset",
        "bom-ref": name,
        "name": shown.trim(),
        "cryptoProperties": {
            "assetType": "protocol",
            "protocolProperties": {
                "type": kind,
                "version": version,
                "cipherSuites": [suites],
                "cryptoRefArray": references,
            },
        },
    })
}

/// The algorithms of a protection, with their references.
fn algorithms(attributes: &Attributes) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let Some(observed) = &attributes.observed else { return found };
    for Symmetric { encryption, bits, authentication } in &observed.symmetric {
        let name = if *bits == 0 { encryption.word().to_owned() } else { format!("{}-{bits}", encryption.word()) };
        let primitive = match encryption {
            Encryption::AesGcm
            | Encryption::AesCcm
            | Encryption::AesCcm8
            | Encryption::CamelliaGcm
            | Encryption::AriaGcm
            | Encryption::ChaCha20Poly1305 => "ae",
            Encryption::Rc4 => "stream-cipher",
            Encryption::None => "other",
            _ => "block-cipher",
        };
        // NIST's categories: as hard to break as AES-128, -192, -256.
        let level = match (encryption, bits) {
            (
                Encryption::AesCbc | Encryption::AesCtr | Encryption::AesGcm | Encryption::AesCcm | Encryption::AesCcm8,
                bits,
            ) => match bits {
                256.. => 5,
                192.. => 3,
                _ => 1,
            },
            (Encryption::ChaCha20Poly1305, _) => 5,
            _ => 0,
        };
        found.push(algorithm(&name, primitive, &bits.to_string(), None, Some(*bits), level));
        if let Some(authentication) =
            authentication.filter(|found| found.word().starts_with("HMAC") || found.word() == "UMAC")
        {
            found.push(algorithm(authentication.word(), "mac", "", None, None, 0));
        }
    }
    if let Some(exchange) = observed.key_exchange {
        let name = if attributes.group.is_empty() { exchange.word().to_owned() } else { attributes.group.clone() };
        let (primitive, level) = match exchange {
            KeyExchange::Hybrid => ("combiner", 3),
            KeyExchange::Kem => ("kem", 3),
            KeyExchange::Rsa => ("pke", 0),
            KeyExchange::Psk | KeyExchange::Kerberos => ("other", 0),
            _ => ("key-agree", 0),
        };
        let curve =
            (exchange == KeyExchange::Ecdhe && !attributes.group.is_empty()).then_some(attributes.group.as_str());
        found.push(algorithm(&name, primitive, "", curve, None, level));
    }
    if let Some((_, bits)) = observed.server_key {
        let name = attributes.key();
        found.push(algorithm(&name, "signature", &bits.to_string(), None, None, 0));
    }
    found
}

fn algorithm(
    name: &str,
    primitive: &str,
    parameters: &str,
    curve: Option<&str>,
    classical: Option<u16>,
    quantum: u8,
) -> (String, Value) {
    let bom_ref = reference("algorithm", name);
    let mut properties = json!({ "primitive": primitive, "nistQuantumSecurityLevel": quantum });
    if let Some(map) = properties.as_object_mut() {
        if !parameters.is_empty() && parameters != "0" {
            map.insert("parameterSetIdentifier".to_owned(), json!(parameters));
        }
        if let Some(curve) = curve {
            map.insert("curve".to_owned(), json!(curve));
        }
        if let Some(classical) = classical {
            map.insert("classicalSecurityLevel".to_owned(), json!(classical));
        }
    }
    let component = json!({
        "type": "cryptographic-asset",
        "bom-ref": bom_ref,
        "name": name,
        "cryptoProperties": { "assetType": "algorithm", "algorithmProperties": properties },
    });
    (bom_ref, component)
}
