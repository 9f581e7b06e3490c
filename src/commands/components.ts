import { stringify } from 'yaml';
import { builtins } from '../builtins.ts';
import type { AnyFactory } from '../component/factory.ts';
import { VERSION } from '../component/version.ts';

const KINDS = ['receiver', 'processor', 'exporter', 'extension'] as const;

/** Prints what this agent is built of, as YAML. */
export function components(): void {
  const buildinfo = {
    command: 'outband',
    description: "Telemetry of what a host's own agent cannot see",
    version: VERSION,
  };
  const sections = KINDS.map((kind) => [`${kind}s`, builtins.filter((factory) => factory.kind === kind).map(entryOf)]);
  process.stdout.write(stringify({ buildinfo, ...Object.fromEntries(sections) }));
}

function entryOf({ type, aliases = [], stability, summary }: AnyFactory) {
  return {
    name: type,
    ...(aliases.length > 0 && { aliases }),
    module: `outband v${VERSION}`,
    stability: typeof stability === 'string' ? { extension: stability } : stability,
    summary,
  };
}
