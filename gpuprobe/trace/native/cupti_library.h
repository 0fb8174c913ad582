// CUPTI, loaded and not linked: a program that brings its own (PyTorch does) must not get a second one.
#pragma once

#include <cupti_activity.h>
#include <cupti_callbacks.h>
#include <cupti_driver_cbid.h>
#include <cupti_version.h>

#include <cstdint>
#include <string>

struct Cupti {
  void *library = nullptr;
  std::string path;
  uint32_t version = 0;
#define FUNCTION(name) decltype(&::name) name = nullptr
  FUNCTION(cuptiGetVersion);
  FUNCTION(cuptiGetTimestamp);
  FUNCTION(cuptiGetResultString);
  FUNCTION(cuptiGetCallbackName);
  FUNCTION(cuptiSubscribe);
  FUNCTION(cuptiUnsubscribe);
  FUNCTION(cuptiEnableCallback);
  FUNCTION(cuptiSetThreadIdType);
  FUNCTION(cuptiActivityEnable);
  FUNCTION(cuptiActivityDisable);
  FUNCTION(cuptiActivityRegisterCallbacks);
  FUNCTION(cuptiActivityGetNextRecord);
  FUNCTION(cuptiActivityGetNumDroppedRecords);
  FUNCTION(cuptiActivityFlushAll);
  FUNCTION(cuptiActivitySetAttribute);
#undef FUNCTION
  // Not in every CUPTI 12: asked for by name, absent is no error.
  CUptiResult (*enable_runtime_api)(CUpti_CallbackId, uint8_t) = nullptr;
  CUptiResult (*enable_driver_api)(CUpti_CallbackId, uint8_t) = nullptr;
  CUptiResult (*enable_all_sync_records)(uint8_t) = nullptr;

  bool load();
  const char *explain(CUptiResult result) const {
    const char *text = nullptr;
    return cuptiGetResultString && cuptiGetResultString(result, &text) == CUPTI_SUCCESS && text ? text
                                                                                                : "unknown error";
  }

 private:
  bool open_library();
};

Cupti &cupti();
