#include "cupti_library.h"

#include <dlfcn.h>

#include <cstdlib>

bool Cupti::open_library() {
  static const char *const names[] = {"libcupti.so.13", "libcupti.so.12", "libcupti.so"};
  for (const char *name : names)  // the one that the program brought comes first
    if ((library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD))) return true;
  const char *given = getenv("GPUPROBE_CUPTI");
  if (given && *given && (library = dlopen(given, RTLD_LAZY | RTLD_LOCAL))) return true;
  for (const char *name : names)
    if ((library = dlopen(name, RTLD_LAZY | RTLD_LOCAL))) return true;
  return false;
}

bool Cupti::load() {
  if (library) return true;
  if (!open_library()) return false;
  bool complete = true;
#define FUNCTION(name) complete &= (name = reinterpret_cast<decltype(name)>(dlsym(library, #name))) != nullptr
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
  enable_runtime_api = reinterpret_cast<decltype(enable_runtime_api)>(dlsym(library, "cuptiActivityEnableRuntimeApi"));
  enable_driver_api = reinterpret_cast<decltype(enable_driver_api)>(dlsym(library, "cuptiActivityEnableDriverApi"));
  enable_all_sync_records =
      reinterpret_cast<decltype(enable_all_sync_records)>(dlsym(library, "cuptiActivityEnableAllSyncRecords"));
  Dl_info where;
  if (complete && dladdr(reinterpret_cast<void *>(cuptiGetVersion), &where) && where.dli_fname) path = where.dli_fname;
  if (complete) cuptiGetVersion(&version);
  return complete;
}

Cupti &cupti() {
  static Cupti *instance = new Cupti;  // never destroyed: CUPTI's thread outlives static destructors
  return *instance;
}
