from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.ops.gemm_kernel import KernelName, main_kernel, parse, without_parameters

NAMES = {
    "nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_NNT": KernelName("nvjet", 256, 128, 64, 4, 2, 1, schedule="coopA"),
    "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_splitK_TNT": KernelName("nvjet", 8, 64, 64, 16, 1, 4, split_k=1),
    "nvjet_tst_64x16_64x16_2x4_2cta_h_bz_bias_TNT": KernelName("nvjet", 16, 64, 64, 16, 4, 2, schedule="2cta"),
    "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x192x64_warpgroupsize1x1x1_execute_segment_k_off_kernel__5x_cublas":
        KernelName("xmma90", 192, 128, 64, schedule="1x1x1"),
    "sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize32x64x16_stage3_warpsize2x2x1_ffma_aligna4_alignc4_execute_kernel__5x_cublas":
        KernelName("xmma80", 64, 32, 16, 3),
    "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_bf16_64x128_64x6_tn_align2>":
        KernelName("cutlass_tensorop", 128, 64, 64, 6, alignment=2),
    "void cutlass::Kernel2<cutlass_75_tensorop_bf16_s1688gemm_bf16_256x128_nn_align1>":
        KernelName("cutlass_tensorop", 128, 256, alignment=1),
    "void cutlass::Kernel2<cutlass_80_wmma_tensorop_s161616gemm_bf16_16x32_128x2_tn_align8>":
        KernelName("cutlass_wmma", 32, 16, 128, 2, alignment=8),
    "cutlass_80_simt_sgemm_128x32_8x5_nn_align1": KernelName("cutlass_simt", 32, 128, 8, 5, alignment=1),
    "cutlass3x_sm90_tensorop_s64x128x16gemm_bf16_bf16_f32_void_bf16_128x64x64_2x1x1_4_ntn_align8_warpspecialized":
        KernelName("cutlass3", 64, 128, 64, 4, 1, 2, alignment=8, schedule="warpspecialized"),
    "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_64x4_tn": KernelName("ampere", 64, 128, 64, 4),
    "ampere_sgemm_32x128_sliced1x4_tn": KernelName("ampere", 128, 32),
    "volta_sgemm_64x64_nn": KernelName("volta", 64, 64),
    "void cublasLt::splitKreduce_kernel<32, 16, int, float>": KernelName("splitk_reduce", split_k=1),
    "std::enable_if<!(false), void>::type internal::gemvx::kernel<int, float, 7, false>": KernelName("gemv"),
    "void gemmSN_TN_kernel<float, 128, 16, 2, 4, 2, 2, true>": KernelName("gemm_small_n"),
    "void cutlass1x::gemm::gemm_kernel_nolb<cutlass1x::gemm::IgemmTraits<1>>": KernelName("igemm"),
    "Memset (Device)": KernelName("memset"),
    "void my_kernel<float>": KernelName("other"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:40])
def test_names_of_cublas_and_cutlass_kernels(name: str) -> None:
    assert parse(name) == NAMES[name]


def test_the_kernel_that_multiplies_is_picked_among_its_helpers() -> None:
    gemm = "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_splitK_TNT"
    assert main_kernel(["Memset (Device)", gemm, "void cublasLt::splitKreduce_kernel<32>"]) == gemm
    assert main_kernel(["void scal_kernel<float>", "void gemv2T_kernel_val<int>"]) == "void gemv2T_kernel_val<int>"
    assert main_kernel(["Memset (Device)"]) == ""
    assert main_kernel([]) == ""


def test_the_parameter_list_is_cut_and_nothing_else() -> None:
    full = "std::enable_if<!(false), void>::type a::k<(K)1>(P<int (*)(int)>, float)"
    assert without_parameters(full) == "std::enable_if<!(false), void>::type a::k<(K)1>"
    assert without_parameters("nvjet_tst") == "nvjet_tst"
    assert without_parameters("odd)") == "odd)"


@given(st.text(max_size=80))
def test_any_text_is_parsed(name: str) -> None:
    assert parse(name).family
