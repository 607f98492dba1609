-- RACF's objects. Plain SQL that SQLite and PostgreSQL both take; flags are 0 or 1.

CREATE TABLE racf_groups (
    name       TEXT NOT NULL CONSTRAINT group_exists PRIMARY KEY,
    superior   TEXT CONSTRAINT superior_group REFERENCES racf_groups (name),
    owner      TEXT NOT NULL,
    created    TEXT NOT NULL
);

CREATE TABLE racf_users (
    userid        TEXT NOT NULL CONSTRAINT user_exists PRIMARY KEY,
    name          TEXT NOT NULL DEFAULT '',
    owner         TEXT NOT NULL,
    default_group TEXT NOT NULL CONSTRAINT default_group REFERENCES racf_groups (name),
    special       INTEGER NOT NULL DEFAULT 0 CHECK (special IN (0, 1)),
    auditor       INTEGER NOT NULL DEFAULT 0 CHECK (auditor IN (0, 1)),
    restricted    INTEGER NOT NULL DEFAULT 0 CHECK (restricted IN (0, 1)),
    revoked       INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    created       TEXT NOT NULL
);

CREATE TABLE racf_connects (
    userid     TEXT NOT NULL CONSTRAINT connected_user REFERENCES racf_users (userid) ON DELETE CASCADE,
    group_name TEXT NOT NULL CONSTRAINT connected_group REFERENCES racf_groups (name),
    authority  TEXT NOT NULL DEFAULT 'USE' CHECK (authority IN ('USE', 'CREATE', 'CONNECT', 'JOIN')),
    owner      TEXT NOT NULL,
    CONSTRAINT connect_exists PRIMARY KEY (userid, group_name)
);

CREATE TABLE racf_classes (
    name    TEXT NOT NULL CONSTRAINT class_exists PRIMARY KEY,
    active  INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1)),
    generic INTEGER NOT NULL DEFAULT 0 CHECK (generic IN (0, 1)),
    raclist INTEGER NOT NULL DEFAULT 0 CHECK (raclist IN (0, 1))
);

CREATE TABLE racf_profiles (
    class   TEXT NOT NULL CONSTRAINT profile_class REFERENCES racf_classes (name),
    name    TEXT NOT NULL,
    generic INTEGER NOT NULL CHECK (generic IN (0, 1)),
    uacc    TEXT NOT NULL CHECK (uacc IN ('NONE', 'EXECUTE', 'READ', 'UPDATE', 'CONTROL', 'ALTER')),
    owner   TEXT NOT NULL,
    warning INTEGER NOT NULL DEFAULT 0 CHECK (warning IN (0, 1)),
    data    TEXT NOT NULL DEFAULT '',
    created TEXT NOT NULL,
    CONSTRAINT profile_exists PRIMARY KEY (class, name, generic)
);

CREATE TABLE racf_access (
    class   TEXT NOT NULL,
    name    TEXT NOT NULL,
    generic INTEGER NOT NULL,
    id      TEXT NOT NULL,
    access  TEXT NOT NULL CHECK (access IN ('NONE', 'EXECUTE', 'READ', 'UPDATE', 'CONTROL', 'ALTER')),
    CONSTRAINT access_exists PRIMARY KEY (class, name, generic, id),
    CONSTRAINT access_profile FOREIGN KEY (class, name, generic)
        REFERENCES racf_profiles (class, name, generic) ON DELETE CASCADE
);

CREATE TABLE racf_audit (
    at      TEXT NOT NULL,
    userid  TEXT NOT NULL,
    command TEXT NOT NULL,
    result  INTEGER NOT NULL
);
