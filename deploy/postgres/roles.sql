-- The two roles of Heardback and their schema, in the database that psql is connected to. docs/postgres.md explains the rights.
-- Run it once, as an administrator, with psql 14 or newer:
--
--   HEARDBACK_OWNER_PASSWORD=… HEARDBACK_PASSWORD=… psql "postgres://ADMIN@HOST/heardback" -f deploy/postgres/roles.sql
--
-- The passwords come from the environment, so that they are in no list of processes.

\set ON_ERROR_STOP on
\getenv owner_password HEARDBACK_OWNER_PASSWORD
\getenv password HEARDBACK_PASSWORD

BEGIN;

-- Owns the tables. Only `heardback store migrate` uses it.
CREATE ROLE heardback_owner LOGIN PASSWORD :'owner_password';
-- The receivers.
CREATE ROLE heardback LOGIN PASSWORD :'password';

-- No other role may connect, unless it owns the database or has the right already.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO heardback_owner, heardback;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- An administrator who is no superuser may act for the owner only as its member.
GRANT heardback_owner TO CURRENT_USER;
CREATE SCHEMA heardback AUTHORIZATION heardback_owner;
-- The role's setting also holds behind a pooler, which drops the settings of a connection.
ALTER ROLE heardback_owner IN DATABASE :"DBNAME" SET search_path = heardback;
ALTER ROLE heardback IN DATABASE :"DBNAME" SET search_path = heardback;

-- The receivers may use the tables, those of later migrations too, and change no definition.
GRANT USAGE ON SCHEMA heardback TO heardback;
ALTER DEFAULT PRIVILEGES FOR ROLE heardback_owner IN SCHEMA heardback
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO heardback;

COMMIT;
