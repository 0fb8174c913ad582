// From CUPTI's records to the spool's. Types of CUDA 12.0 are used throughout: later ones only append fields, and CUPTI
// itself steps from record to record.
#include <cstddef>
#include <cstring>

#include "recorder.h"

namespace {

#if CUPTI_API_VERSION >= 130000
#define SAME_PLACE(Old, New, field) \
  static_assert(offsetof(Old, field) == offsetof(New, field), #New "." #field " moved")
SAME_PLACE(CUpti_ActivityKernel9, CUpti_ActivityKernel10, graphId);
SAME_PLACE(CUpti_ActivityKernel9, CUpti_ActivityKernel10, channelType);
SAME_PLACE(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, graphId);
SAME_PLACE(CUpti_ActivityDevice4, CUpti_ActivityDevice5, name);
SAME_PLACE(CUpti_ActivitySynchronization, CUpti_ActivitySynchronization2, cudaEventId);
SAME_PLACE(CUpti_ActivityGraphTrace, CUpti_ActivityGraphTrace2, streamId);
#endif
#if CUPTI_API_VERSION >= 130500
SAME_PLACE(CUpti_ActivityKernel9, CUpti_ActivityKernel13, channelType);
SAME_PLACE(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy7, graphId);
SAME_PLACE(CUpti_ActivityMemset4, CUpti_ActivityMemset5, graphId);
SAME_PLACE(CUpti_ActivityDevice4, CUpti_ActivityDevice6, name);
#endif

constexpr uint64_t kNoEventRecord = ~0ull;

uint32_t thread_of(CUpti_ActivityObjectKind kind, const CUpti_ActivityObjectKindId &id) {
  return kind == CUPTI_ACTIVITY_OBJECT_THREAD ? id.pt.threadId : 0;
}

spool::Call call_of(const CUpti_ActivityAPI &call, uint32_t name, uint32_t thread) {
  return {call.start, call.end, name, thread, call.correlationId, int32_t(call.returnValue)};
}

uint64_t event_record_of(const CUpti_Activity *record) {
#if CUPTI_API_VERSION >= 26
  if (cupti().version < 26) return kNoEventRecord;
  if (record->kind == CUPTI_ACTIVITY_KIND_CUDA_EVENT)
    return reinterpret_cast<const CUpti_ActivityCudaEvent2 *>(record)->cudaEventSyncId;
  const auto &sync = *reinterpret_cast<const CUpti_ActivitySynchronization2 *>(record);
  const bool of_event = sync.type == CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_EVENT_SYNCHRONIZE ||
                        sync.type == CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_WAIT_EVENT;
  return of_event ? sync.cudaEventSyncId : kNoEventRecord;
#else
  (void)record;
  return kNoEventRecord;
#endif
}

}  // namespace

uint32_t Recorder::call_name(CUpti_CallbackDomain domain, uint32_t cbid) {
  std::vector<uint32_t> &known = call_names_[domain == CUPTI_CB_DOMAIN_DRIVER_API];
  if (cbid < known.size() && known[cbid]) return known[cbid];
  const char *name = nullptr;
  if (cupti().cuptiGetCallbackName(domain, cbid, &name) != CUPTI_SUCCESS || !name) name = "unknown";
  if (cbid >= known.size()) known.resize(cbid + 1, 0);
  return known[cbid] = names_.id_of(name);
}

void Recorder::sort_record(const CUpti_Activity *record) {
  ++stats_.records;
  switch (record->kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
      const auto &k = *reinterpret_cast<const CUpti_ActivityKernel9 *>(record);
      kernels_.push_back({k.start,
                          k.end,
                          k.graphNodeId,
                          names_.id_of(k.name),
                          k.deviceId,
                          k.contextId,
                          k.streamId,
                          k.correlationId,
                          k.graphId,
                          {k.gridX, k.gridY, k.gridZ},
                          {k.blockX, k.blockY, k.blockZ},
                          k.registersPerThread,
                          uint32_t(k.staticSharedMemory),
                          uint32_t(k.dynamicSharedMemory),
                          uint32_t(k.channelType)});
      return;
    }
    case CUPTI_ACTIVITY_KIND_GRAPH_TRACE: {
      const auto &g = *reinterpret_cast<const CUpti_ActivityGraphTrace *>(record);
      spool::Kernel whole = {};
      whole.start = g.start;
      whole.end = g.end;
      whole.name = names_.id_of("CUDA graph");
      whole.device = g.deviceId;
      whole.context = g.contextId;
      whole.stream = g.streamId;
      whole.correlation = g.correlationId;
      whole.graph = g.graphId;
      kernels_.push_back(whole);
      return;
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
      const auto &m = *reinterpret_cast<const CUpti_ActivityMemcpy5 *>(record);
      memory_.push_back({m.start, m.end, m.bytes, m.graphNodeId, m.deviceId, m.contextId, m.streamId, m.correlationId,
                         m.graphId, 0, m.copyKind, m.srcKind, m.dstKind});
      return;
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY2: {
      const auto &m = *reinterpret_cast<const CUpti_ActivityMemcpyPtoP4 *>(record);
      memory_.push_back({m.start, m.end, m.bytes, m.graphNodeId, m.deviceId, m.contextId, m.streamId, m.correlationId,
                         m.graphId, 0, m.copyKind, m.srcKind, m.dstKind});
      return;
    }
    case CUPTI_ACTIVITY_KIND_MEMSET: {
      const auto &m = *reinterpret_cast<const CUpti_ActivityMemset4 *>(record);
      memory_.push_back({m.start, m.end, m.bytes, m.graphNodeId, m.deviceId, m.contextId, m.streamId, m.correlationId,
                         m.graphId, 1, 0, 0, uint8_t(m.memoryKind)});
      return;
    }
    case CUPTI_ACTIVITY_KIND_RUNTIME: {
      const auto &call = *reinterpret_cast<const CUpti_ActivityAPI *>(record);
      if (!in_a_window(call.start, call.end)) return;
      const uint32_t name = call_name(CUPTI_CB_DOMAIN_RUNTIME_API, call.cbid);
      runtime_.push_back(call_of(call, name, call.threadId));
      return;
    }
    case CUPTI_ACTIVITY_KIND_DRIVER: {
      const auto &call = *reinterpret_cast<const CUpti_ActivityAPI *>(record);
      if (!in_a_window(call.start, call.end)) return;
      const uint32_t name = call_name(CUPTI_CB_DOMAIN_DRIVER_API, call.cbid);
      driver_.push_back(call_of(call, name, call.threadId));
      return;
    }
    case CUPTI_ACTIVITY_KIND_SYNCHRONIZATION: {
      const auto &s = *reinterpret_cast<const CUpti_ActivitySynchronization *>(record);
      syncs_.push_back(
          {s.start, s.end, event_record_of(record), uint32_t(s.type), s.contextId, s.streamId, s.correlationId});
      return;
    }
    case CUPTI_ACTIVITY_KIND_CUDA_EVENT: {
      const auto &e = *reinterpret_cast<const CUpti_ActivityCudaEvent *>(record);
      events_.push_back({event_record_of(record), e.contextId, e.streamId, e.correlationId, e.eventId});
      return;
    }
    case CUPTI_ACTIVITY_KIND_MARKER: {
      const auto &m = *reinterpret_cast<const CUpti_ActivityMarker2 *>(record);
      markers_.push_back({m.timestamp, uint32_t(m.flags), m.id, names_.id_of(m.name), names_.id_of(m.domain),
                          thread_of(m.objectKind, m.objectId), uint32_t(m.objectKind)});
      return;
    }
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION: {
      const auto &x = *reinterpret_cast<const CUpti_ActivityExternalCorrelation *>(record);
      externals_.push_back({x.externalId, uint32_t(x.externalKind), x.correlationId});
      return;
    }
    case CUPTI_ACTIVITY_KIND_OVERHEAD: {
      const auto &o = *reinterpret_cast<const CUpti_ActivityOverhead *>(record);
      const uint32_t thread = thread_of(o.objectKind, o.objectId);
      overheads_.push_back({o.start, o.end, uint32_t(o.overheadKind), uint32_t(o.objectKind), thread, 0});
      return;
    }
    case CUPTI_ACTIVITY_KIND_DEVICE: {
      const auto &d = *reinterpret_cast<const CUpti_ActivityDevice4 *>(record);
      spool::Device device = {d.globalMemorySize,
                              {},
                              d.id,
                              names_.id_of(d.name),
                              d.numMultiprocessors,
                              d.computeCapabilityMajor,
                              d.computeCapabilityMinor,
                              d.coreClockRate,
                              d.l2CacheSize,
                              0};
      memcpy(device.uuid, &d.uuid, sizeof device.uuid);
      devices_.push_back(device);
      return;
    }
    case CUPTI_ACTIVITY_KIND_CONTEXT: {
      const auto &c = *reinterpret_cast<const CUpti_ActivityContext *>(record);
      contexts_.push_back({c.contextId, c.deviceId});
      return;
    }
    default:
      ++stats_.unknown;
  }
}

void Recorder::write_records() {
  if (!writer_.is_open()) {
    ++stats_.lost_buffers;
  } else {
    std::string text;
    if (uint32_t count = names_.take_new(text)) writer_.add(spool::kNames, count, text.data(), text.size());
    writer_.add(spool::kDevice, devices_);
    writer_.add(spool::kContext, contexts_);
    writer_.add(spool::kKernel, kernels_);
    writer_.add(spool::kMemory, memory_);
    writer_.add(spool::kRuntime, runtime_);
    writer_.add(spool::kDriver, driver_);
    writer_.add(spool::kSync, syncs_);
    writer_.add(spool::kEvent, events_);
    writer_.add(spool::kMarker, markers_);
    writer_.add(spool::kExternal, externals_);
    writer_.add(spool::kOverhead, overheads_);
    write_stats(false);
    stats_.bytes += writer_.flush();
  }
  devices_.clear();
  contexts_.clear();
  kernels_.clear();
  memory_.clear();
  runtime_.clear();
  driver_.clear();
  syncs_.clear();
  events_.clear();
  markers_.clear();
  externals_.clear();
  overheads_.clear();
}

void Recorder::write_stats(bool closed) {
  cupti().cuptiGetTimestamp(&stats_.cupti_ns);
  stats_.realtime_ns = now_ns(CLOCK_REALTIME);
  stats_.monotonic_ns = now_ns(CLOCK_MONOTONIC);
  stats_.request_ns = request_ns_;
  stats_.closed = closed;
  writer_.add(spool::kStats, 1, &stats_, sizeof stats_);
}
