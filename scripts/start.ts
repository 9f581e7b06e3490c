// `npm start`: without arguments the demo (`--duration 45s` ends it), with others the command itself.
if (process.argv[2] === 'demo') process.argv.splice(2, 1);
const [first = '--duration'] = process.argv.slice(2);
await import(first.startsWith('--duration') ? '../examples/demo/main.ts' : '../src/main.ts');
