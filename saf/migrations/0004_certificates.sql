-- Certificates, key rings and certificate name filters. DER and encrypted keys are base64.

-- The owner is a user, irrcerta (CERTAUTH) or irrsitec (SITE). Names are as RACF writes them, the most specific part first.
CREATE TABLE racf_certificates (
    owner       TEXT NOT NULL,
    userid      TEXT CONSTRAINT certificate_user REFERENCES racf_users (userid) ON DELETE CASCADE,
    label       TEXT NOT NULL,
    serial      TEXT NOT NULL,
    issuer      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('TRUST', 'NOTRUST', 'HIGHTRUST')),
    der         TEXT NOT NULL,
    -- What the DER says: seconds since the epoch, kind and size of the key, and SHA-256 of the DER in hexadecimal.
    not_before  BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    key_type    TEXT NOT NULL,
    key_size    BIGINT NOT NULL,
    algorithm   TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    -- The private key, encrypted under the envelope key of this name.
    envelope    TEXT,
    private_key TEXT,
    -- Serial number of the last certificate it signed.
    last_serial BIGINT NOT NULL DEFAULT 0,
    -- Whether a request was made of it (GENREQ) that no certificate has answered.
    requested   INTEGER NOT NULL DEFAULT 0 CHECK (requested IN (0, 1)),
    -- Whether ROLLOVER took its key away.
    retired     INTEGER NOT NULL DEFAULT 0 CHECK (retired IN (0, 1)),
    created     TEXT NOT NULL,
    CONSTRAINT certificate_exists PRIMARY KEY (owner, label),
    CONSTRAINT certificate_once UNIQUE (serial, issuer),
    CONSTRAINT certificate_owner CHECK (userid IS NULL AND owner IN ('irrcerta', 'irrsitec') OR userid = owner),
    CONSTRAINT certificate_key CHECK ((envelope IS NULL) = (private_key IS NULL))
);

CREATE TABLE racf_rings (
    owner   TEXT NOT NULL CONSTRAINT ring_owner REFERENCES racf_users (userid) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    created TEXT NOT NULL,
    CONSTRAINT ring_exists PRIMARY KEY (owner, name)
);

CREATE TABLE racf_ring_certificates (
    ring_owner TEXT NOT NULL,
    ring_name  TEXT NOT NULL,
    owner      TEXT NOT NULL,
    label      TEXT NOT NULL,
    usage      TEXT NOT NULL CHECK (usage IN ('PERSONAL', 'SITE', 'CERTAUTH')),
    is_default INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
    CONSTRAINT connected_once PRIMARY KEY (ring_owner, ring_name, owner, label),
    CONSTRAINT connected_ring FOREIGN KEY (ring_owner, ring_name)
        REFERENCES racf_rings (owner, name) ON DELETE CASCADE,
    CONSTRAINT connected_certificate FOREIGN KEY (owner, label)
        REFERENCES racf_certificates (owner, label) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE UNIQUE INDEX racf_ring_default ON racf_ring_certificates (ring_owner, ring_name) WHERE is_default = 1;
CREATE INDEX racf_ring_certificates_by_certificate ON racf_ring_certificates (owner, label);

-- The owner is the user that certificates stand for, or irrmulti where criteria choose one.
CREATE TABLE racf_filters (
    owner    TEXT NOT NULL,
    userid   TEXT CONSTRAINT filter_user REFERENCES racf_users (userid) ON DELETE CASCADE,
    label    TEXT NOT NULL,
    issuer   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    criteria TEXT,
    status   TEXT NOT NULL CHECK (status IN ('TRUST', 'NOTRUST')),
    created  TEXT NOT NULL,
    CONSTRAINT filter_exists PRIMARY KEY (owner, label),
    CONSTRAINT filter_once UNIQUE (issuer, subject),
    CONSTRAINT filter_of_something CHECK (issuer <> '' OR subject <> ''),
    CONSTRAINT filter_owner CHECK (userid IS NULL AND owner = 'irrmulti' AND criteria IS NOT NULL OR userid = owner)
);
