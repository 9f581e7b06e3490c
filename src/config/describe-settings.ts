import type { z } from 'zod';
import { wrappedBy } from './schema-nodes.ts';

/** One setting, for the manual. */
export interface SettingDoc {
  /** `sse.idle_timeout`; `[]` stands for an element of a list. */
  readonly path: string;
  readonly type: string;
  /** Of a number; undefined where the value says it itself (`5m`, `16MiB`). */
  readonly unit: string | undefined;
  /** As one would write it; undefined when there is none. */
  readonly default: string | undefined;
  readonly required: boolean;
  readonly description: string;
  /** Version that brought it; undefined: the first. */
  readonly since: string | undefined;
  /** Whether 0 is possible: it has a meaning of its own then. */
  readonly takesZero: boolean;
}

/** Types whose values are quantities. */
const QUANTITIES = ['int', 'float64', 'number', 'duration', 'size'];

/**
 * Lists the settings of a schema, in the order in which it holds them. Sections stand before what is in them; `*` stands for a name of one's
 * own.
 */
export function describeSettings(schema: z.ZodType, prefix = ''): SettingDoc[] {
  const { def } = unwrap(schema);
  if (def.type === 'array') return describeSettings(def.element as z.ZodType, `${prefix}[]`);
  if (def.type === 'record') return describeSettings(def.valueType as z.ZodType, `${prefix}.*`);
  if (def.type !== 'object') return [];
  return Object.entries(def.shape).flatMap(([key, field]) => {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    const inner = unwrap(field as z.ZodType);
    const type = inner.type ?? typeName(inner.def);
    const own: SettingDoc = {
      ...{ unit: inner.unit, since: inner.since, default: inner.default, required: inner.required },
      ...{ path, type, description: inner.description ?? '' },
      takesZero: QUANTITIES.includes(type) && (field as z.ZodType).safeParse(0).success,
    };
    return [own, ...describeSettings(field as z.ZodType, path)];
  });
}

interface Unwrapped {
  readonly def: z.core.$ZodTypes['_zod']['def'];
  readonly type: string | undefined;
  readonly unit: string | undefined;
  readonly since: string | undefined;
  readonly description: string | undefined;
  readonly default: string | undefined;
  readonly required: boolean;
}

/** Looks through defaults, optionals and transforms, and collects what they say. */
function unwrap(schema: z.ZodType): Unwrapped {
  let node = schema;
  const said: { description?: string; type?: string; unit?: string; since?: string } = {};
  let fallback: string | undefined;
  let required = true;
  for (;;) {
    // What is further out was said last.
    Object.assign(said, { ...node.meta(), ...said });
    const { def } = (node as unknown as z.core.$ZodTypes)._zod;
    if (def.type === 'prefault' || def.type === 'default') fallback ??= asWritten(def.defaultValue);
    if (['prefault', 'default', 'optional'].includes(def.type)) required = false;
    const inner = wrappedBy(node as unknown as z.core.$ZodTypes);
    if (!inner) {
      const { type, unit, since, description } = said;
      return { def, type, unit, since, description, default: fallback, required };
    }
    node = inner as unknown as z.ZodType;
  }
}

function asWritten(value: unknown): string | undefined {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0)
    return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function typeName(def: Unwrapped['def']): string {
  if (def.type === 'enum')
    return Object.values(def.entries)
      .map((word) => `\`${word}\``)
      .join(', ');
  const inner = def.type === 'record' ? def.valueType : def.type === 'array' ? def.element : undefined;
  const of = inner ? unwrap(inner as z.ZodType) : undefined;
  const unit = of?.unit === undefined ? '' : ` (${of.unit})`;
  const isPlain = of && of.def.type !== 'object' && of.def.type !== 'unknown';
  const what = isPlain ? ` of ${of.type ?? typeName(of.def)}${unit}` : '';
  if (def.type === 'union')
    return def.options
      .map((option) => unwrap(option as z.ZodType))
      .map((option) => option.type ?? typeName(option.def))
      .join(' or ');
  const names: Partial<Record<string, string>> = {
    object: 'section',
    record: `map${what}`,
    array: `list${what}`,
    boolean: 'bool',
    number: 'number',
  };
  return names[def.type] ?? def.type;
}
