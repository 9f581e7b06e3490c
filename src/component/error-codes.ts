/** What the manual says about an error code. */
export interface ErrorCodeDoc {
  /** What happened. */
  readonly cause: string;
  /** What it means for the data. */
  readonly effect: string;
  /** What the operator can do. */
  readonly remedy: string;
}

/**
 * The closed list of error codes. Users match on the code, never on the text; `docs/errors.md` is generated from this
 * table and a test holds the two equal.
 */
export const ERROR_CODES = {
  config_syntax: {
    cause: 'The configuration file is not YAML, or uses something that is refused (a custom tag, a duplicate key).',
    effect: 'The agent does not start.',
    remedy: 'Correct the file at the printed line and column.',
  },
  config_source: {
    cause: 'A configuration file, a `${file:}` reference or a `${env:}` reference could not be read.',
    effect: 'The agent does not start.',
    remedy: 'Check path and permissions, or set the variable.',
  },
  config_unknown_key: {
    cause: 'A key that no setting has.',
    effect: 'The agent does not start.',
    remedy: 'Use the suggested name, or remove the key.',
  },
  config_value: {
    cause: 'A setting is missing, has the wrong type or lies outside its range.',
    effect: 'The agent does not start.',
    remedy: 'The message names the rule.',
  },
  config_reference: {
    cause: 'A pipeline or a component names something that is not configured.',
    effect: 'The agent does not start.',
    remedy: 'Configure the component, or correct the name.',
  },
  queue_full: {
    cause: 'The bounded queue of an exporter had no room until the caller gave up.',
    effect: 'Nothing is lost: the receiver keeps its position and offers the same data again.',
    remedy: 'Look at the exporter: its backend is slow or down. Raise `sending_queue::queue_size` for bursts.',
  },
  memory_limit: {
    cause: 'The process uses more memory than `memory_limiter` allows.',
    effect: 'Nothing is lost: data is refused until memory is back, and the receiver offers it again.',
    remedy: 'Raise the limit, or give the exporters a store so that what waits does not wait in memory.',
  },
  storage_full: {
    cause: 'The store has reached `max_bytes`, or its disk is full.',
    effect: 'Nothing is lost: what is stored goes on being delivered, and intake waits for room.',
    remedy: 'Look at the exporters; raise `max_bytes` or free disk space. Intake resumes by itself.',
  },
  storage_kv_full: {
    cause: 'The positions of receivers fill their share of the store (a fifth of `max_bytes`), or one is too large.',
    effect: 'Delivery goes on; a restart sends what came since again, with equal `log.record.uid`.',
    remedy: 'Raise `max_bytes`.',
  },
  storage_io: {
    cause: 'The disk under the store answered an error.',
    effect: 'What was being written counts as not written and is offered again; nothing acknowledged is lost.',
    remedy: 'Look at the disk and its mount; the store opens itself anew.',
  },
  storage_settings: {
    cause: 'SQLite did not take a setting that keeps acknowledged data over a power cut.',
    effect: 'The agent does not start.',
    remedy: 'Use the SQLite that comes with Node.',
  },
  storage_locked: {
    cause: 'Another process owns the directory of the store.',
    effect: 'The agent does not start; the other one is not disturbed.',
    remedy: 'Stop the other process, or give this one a directory of its own.',
  },
  storage_permissions: {
    cause: 'The directory or a file of the store is a link, belongs to another user, or can be reached by others.',
    effect: 'The agent does not start.',
    remedy: 'The message names path and command.',
  },
  storage_corrupt: {
    cause: 'The database of the store is damaged.',
    effect:
      'It was set aside, a new one holds every record that could be read, and receivers read their sources again.',
    remedy: 'Look at the disk. The damaged file stays beside the new one until three newer ones exist.',
  },
  storage_newer: {
    cause: 'The database of the store was written by a newer outband.',
    effect: 'The agent does not start; the file was not touched.',
    remedy: 'Start the newer version, or use another directory.',
  },
  storage_worker: {
    cause: 'The thread that writes the store ended.',
    effect: 'What was being written is offered again. The thread is started anew once; then the process ends.',
    remedy: 'Report it, with the log.',
  },
  export_outage: {
    cause: 'Three attempts in a row failed: the backend of the exporter is down, or says so (429, 502, 503, 504).',
    effect: 'Nothing is lost: one request at a time is tried, with growing waits, and everything else waits for it.',
    remedy: 'Look at the backend. Delivery resumes by itself.',
  },
  export_held: {
    cause: 'The backend says that the set-up is at fault (401, 403, 404, a redirect, its certificate), not the data.',
    effect: 'Nothing is lost: the exporter pauses, keeps its data and tries once a minute.',
    remedy: 'Correct token, address or certificate; files are read again before each try.',
  },
  export_too_large: {
    cause: 'The backend refused a single record as too large (413).',
    effect: 'The record is in the dead letters, or counted as dropped without a store.',
    remedy: 'Raise the limit of the backend, then `outband dlq redrive`.',
  },
  export_timeout: {
    cause: 'The backend did not answer an attempt within `timeout`.',
    effect: 'The attempt is repeated.',
    remedy: 'Look at the backend; raise `timeout` if it is merely slow.',
  },
  export_reply: {
    cause: 'The backend answered 2xx with something that is no OTLP reply.',
    effect: 'Whether it took the data is unknown: it is in the dead letters and not sent again by itself.',
    remedy: 'Check what answers at this address, then `outband dlq redrive --allow-duplicates`, or drop.',
  },
  export_rejected: {
    cause:
      'The backend said that this record is at fault (400 or 422). The others of its request were sent without it.',
    effect: 'It is in the dead letters, or counted as dropped without a store.',
    remedy: 'Read the message of the backend; `outband dlq show` prints the record, `redrive` sends it again.',
  },
  start_failed: {
    cause: 'A component failed to start with an error that has no code of its own.',
    effect: 'The agent does not start; what had started was stopped again.',
    remedy: 'Read its message: usually a port that is taken, or a file that cannot be written.',
  },
  shutting_down: {
    cause: 'The agent stopped while data was waiting to be delivered.',
    effect: 'Nothing is lost that the source still holds: the position did not move.',
    remedy: 'None.',
  },
  target_exists: {
    cause: 'Two components registered the same scheduler target.',
    effect: 'The second one does not start.',
    remedy: 'Give the endpoints different names.',
  },
  target_invalid: {
    cause: 'A scheduler target has a type, name or interval outside the allowed range.',
    effect: 'The component does not start.',
    remedy: 'The message names the value.',
  },
  run_failed: {
    cause: 'A poll failed with an error that has no code of its own.',
    effect: 'The attempt counts as failed and is repeated; nothing that the target still holds is lost.',
    remedy: 'Read its message; report it, with the log.',
  },
  scheduler_unwell: {
    cause: 'Many targets have an open breaker (`status_threshold`), or the process was busy for seconds.',
    effect: 'Polls of these targets wait for their retry time.',
    remedy: 'Look at the network if it is many targets, at the load of the machine otherwise. It heals by itself.',
  },
  config_invalid: {
    cause: 'A target cannot be polled with the settings it has.',
    effect: 'It is parked and tried again every `dead_letter::retry_interval`.',
    remedy: 'The message names the setting.',
  },
  deadline_exceeded: {
    cause: 'A run, a request or a body took longer than its deadline.',
    effect: 'The attempt failed; the position did not move and the next run reads the same again.',
    remedy: 'If the controller is merely slow, raise `request_timeout` or `body_idle_timeout`.',
  },
  auth_rejected: {
    cause: 'The BMC answered 401 or 403.',
    effect: 'Its logs are not read; other endpoints go on.',
    remedy: 'Check `auth` of the endpoint and the rights of the account (Login and read access to LogServices).',
  },
  auth_hold: {
    cause: 'Three logins at a BMC were rejected.',
    effect: 'Its account is left alone for 15 minutes, then for twice as long each time, so that it is not locked.',
    remedy: 'Correct `auth` or the password file: a changed account is tried at once.',
  },
  service_root_not_found: {
    cause: 'The BMC answered 404 or 410 to `GET /redfish/v1/`.',
    effect: 'Its logs are not read; other endpoints go on.',
    remedy: 'Check the address: this port serves no Redfish.',
  },
  bmc_unreachable: {
    cause: 'The connection to the BMC was refused, reset, or its name did not resolve.',
    effect: 'The attempt failed; what the BMC holds is read when it is back.',
    remedy: 'Check address, network and firewall.',
  },
  bmc_tls: {
    cause: 'The TLS handshake with the BMC failed.',
    effect: 'Nothing was sent to it.',
    remedy: 'Check whether the port speaks TLS, and which versions it offers.',
  },
  certificate_mismatch: {
    cause: 'The certificate of the BMC was refused: its chain, its name, its dates or its pin.',
    effect: 'Nothing was sent to it. It is tried again every `dead_letter::retry_interval`.',
    remedy: 'Set `tls::ca_file`, or pin the key of a self-signed certificate with `tls::spki_sha256`.',
  },
  bmc_http_status: {
    cause: 'The BMC answered a status that is neither success nor one of the special cases.',
    effect: 'That resource was not read; the position did not move.',
    remedy: 'The message names status and URI.',
  },
  bmc_bad_body: {
    cause: 'The BMC answered 200 with something that is not a JSON object (HTML, a cut body).',
    effect: 'That resource was not read; the position did not move.',
    remedy: 'Usually a controller that restarts, or a login page in front of it.',
  },
  bmc_body_too_large: {
    cause: 'A body or an event of the BMC is larger than the fixed limit.',
    effect: 'It was not read; memory stays bounded.',
    remedy: 'Report it to the vendor; bodies end at 16 MiB, events at 1 MiB.',
  },
  endpoint_source: {
    cause: 'A file or a discovery that names endpoints cannot be read, or its list has a mistake.',
    effect: 'Its last good list stays in force; no endpoint is disturbed.',
    remedy: 'Correct the item that the message names. A discovery that is down is asked again by itself.',
  },
  dead_letter_gone: {
    cause: '`outband dlq` was given an id that no dead letter has.',
    effect: 'Nothing was changed.',
    remedy: '`outband dlq list` shows the ids there are; the record may have been sent again, dropped or evicted.',
  },
  agent_unreachable: {
    cause: 'A command could not ask a running agent: nothing answers at its address, or it refused.',
    effect: 'The command ends with 1; the agent, if there is one, is not touched.',
    remedy: 'Check `--endpoint`, and that `monitoring_api` runs; give a token with `--token-file` where it wants one.',
  },
  fleet_unwell: {
    cause: 'A source of endpoints is stale, most of the fleet fails at once, or most endpoints have not been read.',
    effect: 'What the BMCs hold is read when they are back; the other endpoints go on.',
    remedy: 'Look at the source that the message names, or else at the management network.',
  },
  pool_unproven: {
    cause: 'No probe of a discovery cycle ended with a backend that proved its key.',
    effect: 'Pins of before serve until they are too old; nothing is pinned that was not proven.',
    remedy: 'The message has the commonest reason; `GET /api/monitoring/attestation?pool=` shows every probe.',
  },
  bmc_link_refused: {
    cause: 'A link or redirect of the BMC leaves its own scheme, host, port or `/redfish/`.',
    effect: 'It was not followed and no request was sent to the other place.',
    remedy: 'Check whether a proxy in front of the BMC rewrites links.',
  },
} as const satisfies Record<string, ErrorCodeDoc>;

/** A code of the list. */
export type ErrorCode = keyof typeof ERROR_CODES;
