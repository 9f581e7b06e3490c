import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';
import { type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { readCaFile } from '../../src/component/ca-file.ts';
import { OutbandError } from '../../src/component/errors.ts';
import type { OtlpHttpConfig } from './config.ts';

/** The connections to one backend, made anew when the files that they were made with have changed. */
export class Connection {
  readonly #config: OtlpHttpConfig;
  #dispatcher: Dispatcher | undefined;
  #material: string | undefined;

  constructor(config: OtlpHttpConfig) {
    this.#config = config;
  }

  get dispatcher(): Dispatcher {
    return this.#dispatcher!;
  }

  /**
   * Reads the files of the TLS settings; requests that are out go on with the old ones.
   * @throws OutbandError `config_source`
   */
  async load(): Promise<void> {
    const { tls, sending_queue, max_conns_per_host, idle_conn_timeout, proxy_url } = this.#config;
    const material = await readMaterial(tls);
    const text = JSON.stringify(material);
    if (text === this.#material) return;
    this.#material = text;
    const old = this.#dispatcher;
    const own = material.ca === undefined ? undefined : [material.ca];
    this.#dispatcher = new EnvHttpProxyAgent({
      connections: max_conns_per_host ?? sending_queue.num_consumers,
      allowH2: false,
      keepAliveTimeout: idle_conn_timeout,
      // The deadline of an attempt covers all of it.
      headersTimeout: 0,
      bodyTimeout: 0,
      ...(proxy_url !== undefined && { httpProxy: proxy_url, httpsProxy: proxy_url }),
      ...forBoth({
        timeout: 0,
        rejectUnauthorized: !tls.insecure_skip_verify,
        minVersion: `TLSv${tls.min_version}`,
        ...(tls.max_version && { maxVersion: `TLSv${tls.max_version}` }),
        ...(tls.server_name_override !== undefined && { servername: tls.server_name_override }),
        ...(own && { ca: tls.include_system_ca_certs_pool ? [...rootCertificates, ...own] : own }),
        ...(material.cert !== undefined && { cert: material.cert, key: material.key! }),
      }),
    });
    await old?.close();
  }

  async close(): Promise<void> {
    await this.#dispatcher?.destroy();
  }
}

/** Directly, and through the tunnel of a proxy, which has a setting of its own. */
function forBoth<T>(tls: T): { readonly connect: T; readonly requestTls: T } {
  return { connect: tls, requestTls: tls };
}

type Tls = OtlpHttpConfig['tls'];

async function readMaterial(tls: Tls) {
  const read = async (what: 'ca' | 'cert' | 'key'): Promise<string | undefined> => {
    const file = tls[`${what}_file`];
    if (what === 'ca' && file !== undefined) return readCaFile(file);
    if (file === undefined) return what === 'key' ? tls.key_pem?.reveal() : tls[`${what}_pem`];
    try {
      return await readFile(file, 'utf8');
    } catch (cause) {
      throw new OutbandError('config_source', `tls::${what}_file: cannot read ${file}`, { cause });
    }
  };
  const [ca, cert, key] = await Promise.all([read('ca'), read('cert'), read('key')]);
  return { ca, cert, key };
}
