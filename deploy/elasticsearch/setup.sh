#!/bin/sh
# Once, after the first start: passwords, who may do what, the index template, the lifecycle policy. Safe to repeat.
set -eu
url=http://elasticsearch:9200

put() { # put PATH BODY
  printf '%s' "$2" | curl --fail-with-body -sS -u "elastic:$ELASTIC_PASSWORD" -X PUT "$url/$1" -H 'Content-Type: application/json' --data-binary @-
  echo
}

put _security/user/kibana_system/_password "{\"password\": \"$KIBANA_PASSWORD\"}"
# May create documents and never overwrite, read or delete them; the forwarder looks whether its template is there.
put _security/role/sonoscope_writer '{
  "cluster": ["monitor", "manage_index_templates"],
  "indices": [{"names": ["sonoscope-logs-*"], "privileges": ["create_doc", "create_index", "auto_configure"]}]
}'
put _security/role/sonoscope_reader '{
  "cluster": ["monitor"],
  "indices": [{"names": ["sonoscope-logs-*"], "privileges": ["read", "view_index_metadata"]}]
}'
put _security/user/sonoscope_writer "{\"password\": \"$WRITER_PASSWORD\", \"roles\": [\"sonoscope_writer\"]}"
put _security/user/sonoscope_reader "{\"password\": \"$READER_PASSWORD\", \"roles\": [\"sonoscope_reader\"]}"
put _ilm/policy/sonoscope-logs "$(cat /setup/lifecycle.json)"
put _index_template/sonoscope-logs "$(cat /setup/index-template.json)"
