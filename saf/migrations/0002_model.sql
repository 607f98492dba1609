-- What RACF knows of users, groups, connects, classes and profiles beyond the first release. A column that is NULL says
-- "not coded".

ALTER TABLE racf_groups ADD COLUMN data TEXT NOT NULL DEFAULT '';
ALTER TABLE racf_groups ADD COLUMN universal INTEGER NOT NULL DEFAULT 0 CHECK (universal IN (0, 1));
ALTER TABLE racf_groups ADD COLUMN gid BIGINT;

ALTER TABLE racf_users ADD COLUMN operations INTEGER NOT NULL DEFAULT 0 CHECK (operations IN (0, 1));
ALTER TABLE racf_users ADD COLUMN roaudit INTEGER NOT NULL DEFAULT 0 CHECK (roaudit IN (0, 1));
ALTER TABLE racf_users ADD COLUMN uaudit INTEGER NOT NULL DEFAULT 0 CHECK (uaudit IN (0, 1));
ALTER TABLE racf_users ADD COLUMN contained INTEGER NOT NULL DEFAULT 0 CHECK (contained IN (0, 1));
ALTER TABLE racf_users ADD COLUMN nevercontain INTEGER NOT NULL DEFAULT 0 CHECK (nevercontain IN (0, 1));
ALTER TABLE racf_users ADD COLUMN revoke_date TEXT;
ALTER TABLE racf_users ADD COLUMN resume_date TEXT;
ALTER TABLE racf_users ADD COLUMN data TEXT NOT NULL DEFAULT '';
ALTER TABLE racf_users ADD COLUMN uid BIGINT;
ALTER TABLE racf_users ADD COLUMN home TEXT;
ALTER TABLE racf_users ADD COLUMN program TEXT;

CREATE INDEX racf_users_by_uid ON racf_users (uid);

CREATE TABLE racf_clauth (
    userid TEXT NOT NULL CONSTRAINT clauth_user REFERENCES racf_users (userid) ON DELETE CASCADE,
    class  TEXT NOT NULL,
    CONSTRAINT clauth_exists PRIMARY KEY (userid, class)
);

ALTER TABLE racf_connects ADD COLUMN uacc TEXT NOT NULL DEFAULT 'NONE'
    CHECK (uacc IN ('NONE', 'EXECUTE', 'READ', 'UPDATE', 'CONTROL', 'ALTER'));
ALTER TABLE racf_connects ADD COLUMN special INTEGER NOT NULL DEFAULT 0 CHECK (special IN (0, 1));
ALTER TABLE racf_connects ADD COLUMN operations INTEGER NOT NULL DEFAULT 0 CHECK (operations IN (0, 1));
ALTER TABLE racf_connects ADD COLUMN auditor INTEGER NOT NULL DEFAULT 0 CHECK (auditor IN (0, 1));
ALTER TABLE racf_connects ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1));
ALTER TABLE racf_connects ADD COLUMN revoke_date TEXT;
ALTER TABLE racf_connects ADD COLUMN resume_date TEXT;
ALTER TABLE racf_connects ADD COLUMN created TEXT NOT NULL DEFAULT '';

CREATE INDEX racf_connects_by_group ON racf_connects (group_name);

ALTER TABLE racf_classes ADD COLUMN gencmd INTEGER NOT NULL DEFAULT 0 CHECK (gencmd IN (0, 1));
ALTER TABLE racf_classes ADD COLUMN global INTEGER NOT NULL DEFAULT 0 CHECK (global IN (0, 1));
ALTER TABLE racf_classes ADD COLUMN audit INTEGER NOT NULL DEFAULT 0 CHECK (audit IN (0, 1));
ALTER TABLE racf_classes ADD COLUMN statistics INTEGER NOT NULL DEFAULT 0 CHECK (statistics IN (0, 1));
ALTER TABLE racf_classes ADD COLUMN log TEXT NOT NULL DEFAULT 'DEFAULT'
    CHECK (log IN ('ALWAYS', 'NEVER', 'SUCCESSES', 'FAILURES', 'DEFAULT'));

-- SETROPTS options that are no class's.
CREATE TABLE racf_options (
    name  TEXT NOT NULL CONSTRAINT option_exists PRIMARY KEY,
    value INTEGER NOT NULL CHECK (value IN (0, 1))
);

ALTER TABLE racf_profiles ADD COLUMN level INTEGER NOT NULL DEFAULT 0 CHECK (level BETWEEN 0 AND 99);
ALTER TABLE racf_profiles ADD COLUMN audit_success TEXT;
ALTER TABLE racf_profiles ADD COLUMN audit_failures TEXT DEFAULT 'READ';
ALTER TABLE racf_profiles ADD COLUMN global_success TEXT;
ALTER TABLE racf_profiles ADD COLUMN global_failures TEXT;
ALTER TABLE racf_profiles ADD COLUMN notify TEXT;
ALTER TABLE racf_profiles ADD COLUMN appldata TEXT NOT NULL DEFAULT '';
ALTER TABLE racf_profiles ADD COLUMN changed TEXT;
-- STDATA: the user and group of a started task, and whether it is trusted or privileged.
ALTER TABLE racf_profiles ADD COLUMN task_user TEXT;
ALTER TABLE racf_profiles ADD COLUMN task_group TEXT;
ALTER TABLE racf_profiles ADD COLUMN task_trusted INTEGER NOT NULL DEFAULT 0 CHECK (task_trusted IN (0, 1));
ALTER TABLE racf_profiles ADD COLUMN task_privileged INTEGER NOT NULL DEFAULT 0 CHECK (task_privileged IN (0, 1));

-- Entries that count under a condition: WHEN(class(condition)).
CREATE TABLE racf_conditional (
    class           TEXT NOT NULL,
    name            TEXT NOT NULL,
    generic         INTEGER NOT NULL,
    condition_class TEXT NOT NULL,
    condition_name  TEXT NOT NULL,
    id              TEXT NOT NULL,
    access          TEXT NOT NULL CHECK (access IN ('NONE', 'EXECUTE', 'READ', 'UPDATE', 'CONTROL', 'ALTER')),
    CONSTRAINT conditional_exists PRIMARY KEY (class, name, generic, condition_class, condition_name, id),
    CONSTRAINT conditional_profile FOREIGN KEY (class, name, generic)
        REFERENCES racf_profiles (class, name, generic) ON DELETE CASCADE
);

-- ADDMEM: what a profile in GLOBAL or RACFVARS lists, in order. In GLOBAL a member has a level.
CREATE TABLE racf_members (
    class    TEXT NOT NULL,
    name     TEXT NOT NULL,
    generic  INTEGER NOT NULL,
    position BIGINT NOT NULL,
    member   TEXT NOT NULL,
    access   TEXT CHECK (access IN ('NONE', 'EXECUTE', 'READ', 'UPDATE', 'CONTROL', 'ALTER')),
    CONSTRAINT member_exists PRIMARY KEY (class, name, generic, member),
    CONSTRAINT member_profile FOREIGN KEY (class, name, generic)
        REFERENCES racf_profiles (class, name, generic) ON DELETE CASCADE
);
