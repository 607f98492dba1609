//! Whom a client's certificate stands for.
//!
//! Source: *RACF Callable Services*, initACEE, "Certificate name filtering"; *RACF Security Administrator's Guide*, "Certificate
//! name filtering".

use std::collections::HashMap;
use std::fmt;

use chrono::NaiveDate;

use crate::access::Userid;
use crate::pattern::{self, Values};
use crate::profile::ProfileName;
use crate::snapshot::Snapshot;

/// What of a certificate says whose it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateNames {
    /// Serial number, upper case hexadecimal of whole bytes.
    pub serial: String,
    /// The issuer's name, one text for each relative distinguished name (`CN=…`), the most specific first.
    pub issuer: Vec<String>,
    /// The subject's name.
    pub subject: Vec<String>,
    /// SHA-256 of the certificate, upper case hexadecimal.
    pub fingerprint: String,
    /// A value in a name reads like several parts of one, or cannot be written as text: no filter is to fit it.
    pub ambiguous: bool,
}

/// A certificate of the database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Known {
    /// None for certificates of authorities and sites.
    pub(crate) userid: Option<Userid>,
    pub(crate) trusted: bool,
    pub(crate) fingerprint: Box<str>,
}

/// A certificate name filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Filter {
    /// None: criteria choose the user.
    pub(crate) userid: Option<Userid>,
    pub(crate) criteria: Option<String>,
    pub(crate) trusted: bool,
}

/// Certificates by serial number and issuer.
pub(crate) type Certificates = HashMap<(Box<str>, Box<str>), Known>;
/// Filters by subject and issuer; either may be empty.
pub(crate) type Filters = HashMap<(Box<str>, Box<str>), Filter>;
/// DIGTCRIT profiles, the most specific first, with the users they choose; some choose nobody.
pub(crate) type Criteria = Vec<(ProfileName, Option<Userid>)>;

/// Where the certificate is used: what criteria may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Application<'a> {
    /// `&APPLID`.
    pub applid: &'a str,
    /// `&SYSID`.
    pub sysid: &'a str,
}

/// Why a certificate stands for nobody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unmapped {
    /// Class DIGTCERT is not active.
    Inactive,
    /// Neither the certificate nor a filter for it is defined (initACEE 8/8/40).
    NotDefined,
    /// It is defined, and not trusted (8/8/36).
    NotTrusted,
    /// It belongs to an authority or a site.
    NobodyS,
    /// Its user may begin no session: 8/8/28 for revoked ones.
    NoSession(Userid),
}

impl fmt::Display for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inactive => f.write_str("class DIGTCERT is not active: SETROPTS CLASSACT(DIGTCERT)"),
            Self::NotDefined => f.write_str(
                "no user ID is defined for this certificate: RACDCERT ID(user) ADD or RACDCERT ID(user) MAP, and SETROPTS \
                 RACLIST(DIGTNMAP) REFRESH",
            ),
            Self::NotTrusted => f.write_str("the certificate is defined with status NOTRUST"),
            Self::NobodyS => f.write_str("the certificate is defined for CERTAUTH or SITE, not for a user"),
            Self::NoSession(userid) => write!(f, "user {userid} is revoked or contained"),
        }
    }
}

/// Whether a word can name a ring: 1 to 237 printable characters without those of the command language.
#[must_use]
pub fn is_ring_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_graphic() && !"*%&()',;/\"".contains(c);
    (1..=237).contains(&name.len()) && name.chars().all(allowed)
}

impl Snapshot {
    /// The user a certificate stands for: its owner, else whom the first filter that fits names. Revoked users are none.
    ///
    /// # Errors
    ///
    /// Why it stands for nobody.
    pub fn map_certificate(
        &self,
        names: &CertificateNames,
        application: Application<'_>,
        today: NaiveDate,
    ) -> Result<Userid, Unmapped> {
        let switches = |class| self.class(class).map(|(_, class)| class.switches);
        if !switches("DIGTCERT").is_some_and(|switches| switches.active) {
            return Err(Unmapped::Inactive);
        }
        let own = self.certificates.get(&(names.serial.as_str().into(), names.issuer.join(".").into()));
        // Another certificate with the same number of an issuer of the same name is not the one that is defined.
        let userid = match own.filter(|known| *known.fingerprint == *names.fingerprint) {
            Some(Known { trusted: false, .. }) => return Err(Unmapped::NotTrusted),
            Some(Known { userid: None, .. }) => return Err(Unmapped::NobodyS),
            Some(Known { userid: Some(userid), .. }) => *userid,
            None => {
                let counts = switches("DIGTNMAP").is_some_and(|switches| switches.active && switches.raclist);
                let filtered = || self.filtered(names, application);
                (counts && !names.ambiguous).then(filtered).flatten().ok_or(Unmapped::NotDefined)?
            }
        };
        match self.verify(userid, None, None, today).saf {
            0 => Ok(userid),
            _ => Err(Unmapped::NoSession(userid)),
        }
    }

    fn filtered(&self, names: &CertificateNames, application: Application<'_>) -> Option<Userid> {
        let (subject, issuer) = (names.subject.as_slice(), names.issuer.as_slice());
        let nothing: &[String] = &[];
        let shorter = |name: &'_ [String]| {
            (1..name.len()).filter_map(|at| name.get(at..)).map(<[String]>::to_vec).collect::<Vec<_>>()
        };
        let mut tried = vec![(subject.to_vec(), issuer.to_vec())];
        tried.extend(shorter(subject).into_iter().map(|partial| (partial, issuer.to_vec())));
        tried.push((subject.to_vec(), nothing.to_vec()));
        tried.extend(shorter(subject).into_iter().map(|partial| (partial, nothing.to_vec())));
        tried.push((nothing.to_vec(), issuer.to_vec()));
        tried.extend(shorter(issuer).into_iter().map(|partial| (nothing.to_vec(), partial)));
        let fitting = tried.into_iter().filter_map(|(subject, issuer)| {
            self.filters.get(&(subject.join(".").into(), issuer.join(".").into())).filter(|filter| filter.trusted)
        });
        // The first that fits decides, whether its criteria name somebody or not.
        let filter = fitting.into_iter().next()?;
        match &filter.criteria {
            None => filter.userid,
            Some(criteria) => self.chosen(criteria, application),
        }
    }

    /// Whom a DIGTCRIT profile chooses.
    fn chosen(&self, criteria: &str, application: Application<'_>) -> Option<Userid> {
        self.class("DIGTCRIT").filter(|(_, class)| class.switches.active)?;
        let wanted = criteria.replace("&APPLID", application.applid).replace("&SYSID", application.sysid);
        let covers = |name: &ProfileName| match name.is_generic() {
            true => pattern::matches(name.as_str().as_bytes(), wanted.as_bytes(), Values::of(&self.variables)),
            false => name.as_str() == wanted,
        };
        self.criteria.iter().find(|(name, _)| covers(name)).and_then(|(_, userid)| *userid)
    }
}
