// `npm start`: without arguments the demo, with arguments the command itself.
const isDemo = process.argv.length === 2 || process.argv[2] === '--duration';
await import(isDemo ? '../examples/demo/main.ts' : '../src/main.ts');
