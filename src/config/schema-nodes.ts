import type { z } from 'zod';

type Node = z.core.$ZodTypes;

/** What a wrapper (a default, an optional, a transform) wraps, as it is written in a file; undefined: it is the core. */
export function wrappedBy({ _zod: { def } }: Node): Node | undefined {
  // Settings that are made ready before they are looked at have their form behind that.
  if (def.type === 'pipe') return ((def.in as Node)._zod.def.type === 'transform' ? def.out : def.in) as Node;
  return 'innerType' in def ? (def.innerType as Node) : undefined;
}
