-- Lets the roles of ../postgres/roles.sql log in.
\set mapper `cat /run/secrets/database_password_mapper`
\set api `cat /run/secrets/database_password_api`
\set operator `cat /run/secrets/database_password_operator`
ALTER ROLE status_sync_mapper PASSWORD :'mapper';
ALTER ROLE status_sync_api PASSWORD :'api';
ALTER ROLE status_sync_operator PASSWORD :'operator';
