import { stringify } from 'yaml';
import { builtins } from '../builtins.ts';
import type { AnyFactory } from '../component/factory.ts';
import { VERSION } from '../component/version.ts';

const KINDS = ['receiver', 'processor', 'exporter', 'extension'] as const;

/** Prints what an agent is built of, as YAML. */
export function components(factories: readonly AnyFactory[]): void {
  const buildinfo = {
    command: 'outband',
    description: "Telemetry of what a host's own agent cannot see",
    version: VERSION,
  };
  const sections = KINDS.map((kind) => [`${kind}s`, factories.filter((factory) => factory.kind === kind).map(entryOf)]);
  process.stdout.write(stringify({ buildinfo, ...Object.fromEntries(sections) }));
}

function entryOf({ kind, type, aliases = [], stability, summary }: AnyFactory) {
  return {
    name: type,
    ...(aliases.length > 0 && { aliases }),
    module: builtins.some((one) => one.kind === kind && one.type === type) ? `outband v${VERSION}` : 'plugin',
    stability: typeof stability === 'string' ? { extension: stability } : stability,
    summary,
  };
}
