"""Where the API server keeps what more than one module asks for."""


def deployment_path(namespace: str, name: str) -> str:
    """Where the API server keeps a Deployment."""
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


def autoscaler_path(namespace: str, name: str) -> str:
    """Where the API server keeps a HorizontalPodAutoscaler."""
    return f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}"
