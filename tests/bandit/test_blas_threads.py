from threadpoolctl import threadpool_info, threadpool_limits

from stedopt_bluesky.bandit.blas_threads import one_blas_thread


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_one_thread_inside_and_the_old_number_afterwards() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        assert one_blas_thread(blas_threads)() == {1}
        assert blas_threads() == before == {2}
