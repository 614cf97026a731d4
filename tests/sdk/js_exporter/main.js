// Sends spans with the OpenTelemetry JavaScript SDK over OTLP/HTTP with JSON and gzip, and writes
// down what it sent.
//
// Usage: NODE_PATH=.../node_modules node main.js ENDPOINT N_TRACES OUT_FILE
//
// Each exported batch is one line of OUT_FILE, an OTLP/JSON request as the SDK's own serializer makes
// it (`.otlp.jsonl`). Prints the number of spans; fails if the server refused anything.
'use strict';

const fs = require('node:fs');
const { SpanKind, SpanStatusCode, TraceFlags, context, trace, createTraceState } = require('@opentelemetry/api');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-http');
const { JsonTraceSerializer } = require('@opentelemetry/otlp-transformer');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');

const [endpoint, nTraces, outFile] = process.argv.slice(2);
const out = fs.openSync(outFile, 'w');
const exporter = new OTLPTraceExporter({ url: endpoint, compression: 'gzip' });
let nSpans = 0;
let nRefused = 0;

const recorder = {
  export(spans, done) {
    fs.writeSync(out, JsonTraceSerializer.serializeRequest(spans));
    fs.writeSync(out, '\n');
    exporter.export(spans, (result) => {
      nSpans += spans.length;
      if (result.code !== 0) {
        nRefused += spans.length;
        console.error(result.error);
      }
      done(result);
    });
  },
  shutdown: () => exporter.shutdown(),
  forceFlush: () => exporter.forceFlush(),
};

const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'js-shop', 'service.instance.id': 'pod-2' }),
  spanLimits: { attributeCountLimit: 20 },
  spanProcessors: [new BatchSpanProcessor(recorder, { maxQueueSize: 100000, maxExportBatchSize: 256 })],
});
const tracer = provider.getTracer('shop', '1.2.3');

const kinds = [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.PRODUCER, SpanKind.CONSUMER];

function attributes(idx) {
  return {
    'http.route': `/cart/${idx}`,
    text: 'Grüße, 世界 🙂 \u0000\t"\\',
    empty: '',
    long: 'x'.repeat(idx * 37 % 2000),
    bool: idx % 2 === 0,
    int: -(2 ** 40) + idx,
    safe: Number.MAX_SAFE_INTEGER,
    float: idx / 3,
    small: 5e-324,
    strings: ['a', '', 'ü'],
    numbers: [-1, 0, 2.5],
    bools: [true, false],
  };
}

function sendTrace(idx) {
  const linked = {
    traceId: (idx + 1).toString(16).padStart(32, 'a'),
    spanId: (idx + 1).toString(16).padStart(16, 'B'),
    traceFlags: TraceFlags.SAMPLED,
    traceState: createTraceState('ot=th:c,vendor=a=b'),
  };
  const links = idx % 3 === 0 ? [{ context: linked, attributes: { reason: 'retry', n: idx } }] : [];
  const root = tracer.startSpan(`GET /cart/${idx}`, { kind: kinds[0], links, attributes: attributes(idx) });
  root.addEvent('cache miss', { key: 'cart', size: idx });
  const within = trace.setSpan(context.active(), root);
  for (let child = 1; child < 1 + (idx % 6); child += 1) {
    const span = tracer.startSpan(`step ${child}`, { kind: kinds[child % kinds.length] }, within);
    span.setAttributes(attributes(child));
    if (child === 2) {
      span.recordException(new Error('out of stock'));
      span.setStatus({ code: SpanStatusCode.ERROR, message: 'out of stock' });
    }
    if (child === 3) {
      for (let n = 0; n < 30; n += 1) span.setAttribute(`key.${n}`, n);
    }
    span.end();
  }
  root.setStatus({ code: SpanStatusCode.OK });
  root.end();
}

for (let idx = 0; idx < Number(nTraces); idx += 1) sendTrace(idx);
provider.shutdown().then(() => {
  console.log(nSpans);
  process.exitCode = nRefused === 0 ? 0 : 1;
});
