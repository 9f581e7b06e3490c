import type { z } from 'zod';
import { wrappedBy } from './schema-nodes.ts';

/** A value as it was written, with the defaults of its schema, as one would write them, where it says nothing. */
export function fillDefaults(schema: z.ZodType, written: unknown): unknown {
  const { def, fallback } = unwrap(schema);
  const value = written ?? fallback;
  if (def.type === 'array' && Array.isArray(value))
    return value.map((item) => fillDefaults(def.element as z.ZodType, item));
  if (def.type !== 'object' || typeof value !== 'object' || value === null) return value;
  const given = value as Record<string, unknown>;
  const known = Object.entries(def.shape).map(([key, field]) => [key, fillDefaults(field as z.ZodType, given[key])]);
  return { ...given, ...Object.fromEntries(known.filter(([, item]) => item !== undefined)) };
}

/** Looks through defaults, optionals and transforms. */
function unwrap(schema: z.ZodType): { readonly def: z.core.$ZodTypes['_zod']['def']; readonly fallback: unknown } {
  let node = schema as unknown as z.core.$ZodTypes;
  let fallback: unknown;
  for (;;) {
    const { def } = node._zod;
    if (def.type === 'prefault' || def.type === 'default') fallback ??= def.defaultValue;
    const inner = wrappedBy(node);
    if (!inner) return { def, fallback };
    node = inner;
  }
}
